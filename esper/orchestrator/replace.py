"""Gives the worst seed of a slot another kernel."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState, next_binding
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest


@dataclass(frozen=True)
class Replace(Orchestrator):
    """Culls the worst live seed under a threshold and germinates it with another blueprint.

    One plan holds both, so the seed does not rest in between.  A seed with an unknown score is not
    bad.  In a slot without a live seed, a decision to add germinates one seed, and any other
    decision gives an empty plan.

    min_performance_threshold: score in [0, 1] under which a seed is bad (see `request`).
    """

    name: ClassVar[str] = "replace"

    min_performance_threshold: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = self.min_performance_threshold
        require(0 <= limit <= 1, "orchestrator.min_performance_threshold", "in [0, 1]", limit)

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan that replaces one seed, or an empty one."""
        if not request.slot.live:
            return request.first_germination(alpha_target=1.0)
        if not request.may_grow:
            return request.nothing("growth is over")
        limit = self.min_performance_threshold
        scored = [(request.score(seed), seed) for seed in request.slot.live]
        bad = [(score, seed) for score, seed in scored if score is not None and score < limit]
        if not bad:
            return request.nothing(f"no live seed is known to score under {limit:g}")
        score, worst = min(bad, key=lambda pair: (pair[0], pair[1].seed))
        other = another_blueprint(request, worst)
        if other is None:
            return request.nothing(
                f"seed {worst.seed} scores {score:.2f} but no other blueprint is on offer"
            )
        changes = (
            SeedChange(action=Action.CULL, seed=worst.seed, rests=False),
            SeedChange(action=Action.GERMINATE, seed=worst.seed, blueprint=other),
        )
        reasoning = (
            f"seed {worst.seed} of slot '{worst.slot}' scores {score:.2f}, under "
            f"{limit:g}: {other} in place of {worst.bound}"
        )
        return request.plan(changes, (other,), reasoning)


def another_blueprint(request: PlanRequest, seed: SeedState) -> str | None:
    """Return the blueprint that the seed tries next, None when only its own is on offer."""
    slot, barred = request.slot, request.decision.barred
    offered = [name for name in slot.spec.catalogue if name == seed.bound or name not in barred]
    other = next_binding(offered, [each.bound for each in slot.seeds], slot.seeds.index(seed))
    return None if other == seed.bound else other
