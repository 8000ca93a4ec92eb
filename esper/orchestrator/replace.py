"""Gives the worst seed of a slot another kernel."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState, next_binding
from esper.orchestrator.base import Knowledge
from esper.orchestrator.request import PlanRequest, check_option, verdict


@dataclass(frozen=True)
class Replace:
    """Culls the worst live seed under a threshold and germinates it with another blueprint.

    Both happen in the one plan, without rest between them.  A seed whose score is unknown is not
    bad.  In a slot without a live seed an empty place is the worst one: a decision to add
    germinates one seed there, and any other decision finds nothing to do.

    min_performance_threshold: score in [0, 1] under which a seed is bad (see `request`).
    adaptation_cooldown_epochs: epochs that a slot rests after a change.
    """

    name: ClassVar[str] = "replace"

    min_performance_threshold: float = 0.3
    adaptation_cooldown_epochs: int = 5

    def __post_init__(self) -> None:
        threshold, cooldown = self.min_performance_threshold, self.adaptation_cooldown_epochs
        check_option(0 <= threshold <= 1, "min_performance_threshold", "in [0, 1]", threshold)
        check_option(cooldown >= 0, "adaptation_cooldown_epochs", ">= 0", cooldown)

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return the plan that replaces one seed, or an empty one."""
        request = PlanRequest.read(decision, observation, knowledge)
        if request.is_verdict:
            return verdict(request)
        if not request.slot.live:
            if request.asks_to_add:
                return request.germination(self.name, 1, 1.0)
            return request.nothing(self.name, "no seed is live")
        if not request.may_grow:
            return request.nothing(self.name, "growth is over")
        scored = [(request.score(seed), seed) for seed in request.slot.live]
        bad = [
            (score, seed)
            for score, seed in scored
            if score is not None and score < self.min_performance_threshold
        ]
        if not bad:
            limit = f"{self.min_performance_threshold:g}"
            return request.nothing(self.name, f"no live seed is known to score under {limit}")
        score, worst = min(bad, key=lambda pair: (pair[0], pair[1].seed))
        return self._exchange(request, worst, score)

    def _exchange(self, request: PlanRequest, worst: SeedState, score: float) -> Plan:
        """Return the plan that culls `worst` and germinates it with another blueprint."""
        other = another_blueprint(request, worst)
        if other is None:
            why = f"seed {worst.seed} scores {score:.2f} but no other blueprint is on offer"
            return request.nothing(self.name, why)
        changes = (
            SeedChange(action=Action.CULL, seed=worst.seed, rests=False),
            SeedChange(action=Action.GERMINATE, seed=worst.seed, blueprint=other),
        )
        reasoning = (
            f"seed {worst.seed} of slot '{worst.slot}' scores {score:.2f}, under "
            f"{self.min_performance_threshold:g}: {other} in place of {worst.bound}"
        )
        return request.plan(self.name, changes, (other,), reasoning)


def another_blueprint(request: PlanRequest, seed: SeedState) -> str | None:
    """Return the blueprint that the seed tries next, None when only its own is on offer."""
    barred = request.decision.barred
    offered = [n for n in request.slot.spec.catalogue if n == seed.bound or n not in barred]
    position = request.slot.seeds.index(seed)
    other = next_binding(offered, [each.bound for each in request.slot.seeds], position)
    return None if other == seed.bound else other
