"""Gives a seed of a slot another kernel."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState
from esper.contracts.stage import BLENDED, LIVE
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest


@dataclass(frozen=True)
class Replace(Orchestrator):
    """Culls a live seed and germinates it with another blueprint.

    One plan holds both, so the seed does not rest in between, and the alpha target stays, so that
    the seeds of an ensemble go on sharing alpha evenly.  It is the seed that the decision
    names, else the worst one under a threshold; a seed with an unknown score is not bad.  The
    strategy chooses the blueprint.  In a slot without a live seed, a decision
    to add germinates one seed, and any other decision gives an empty plan.

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
        named = [seed for seed in request.slot.live if seed.seed == request.decision.seed]
        if request.decision.seed is not None and not named:
            return request.nothing(f"seed {request.decision.seed} is not live")
        worst = named[0] if named else self._worst(request)
        if worst is None:
            limit = self.min_performance_threshold
            return request.nothing(f"no live seed is known to score under {limit:g}")
        offered = alternatives(request, worst)
        if not offered:
            return request.nothing(f"no other blueprint is on offer for seed {worst.seed}")
        changes = (
            SeedChange(action=Action.CULL, seed=worst.seed, rests=False),
            SeedChange(
                action=Action.GERMINATE,
                seed=worst.seed,
                offered=offered,
                alpha_target=worst.alpha_target,
            ),
        )
        words = f"{' or '.join(offered)} in place of {worst.bound}"
        return request.plan(changes, f"{request.decision.reason}: {words}")

    def _worst(self, request: PlanRequest) -> SeedState | None:
        """Return the live seed with the lowest score under the threshold."""
        scored = [(request.score(seed), seed) for seed in request.slot.live]
        limit = self.min_performance_threshold
        bad = [(score, seed) for score, seed in scored if score is not None and score < limit]
        return min(bad, key=lambda pair: (pair[0], pair[1].seed))[1] if bad else None


def alternatives(request: PlanRequest, seed: SeedState) -> tuple[str, ...]:
    """Return the blueprints on offer in place of a seed's, in the catalogue's order after its own.

    Those that live or kept seeds of the slot hold are not on offer.
    """
    slot = request.slot
    held = {each.bound for each in slot.seeds if each.stage in LIVE | BLENDED}
    own = slot.spec.catalogue.index(seed.bound)
    turn = slot.spec.catalogue[own + 1 :] + slot.spec.catalogue[:own]
    return tuple(name for name in turn if name not in held | set(request.decision.barred))
