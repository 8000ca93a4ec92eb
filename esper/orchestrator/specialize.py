"""Keeps the better half of a slot's live seeds and gives it more weight."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState
from esper.contracts.stage import RETARGETABLE, STAGE_NUMBERS
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest

_UNKNOWN = 0.5  # neither good nor bad, as a seed that changes nothing


@dataclass(frozen=True)
class Specialize(Orchestrator):
    """Raises alpha of the better half (rounded up) of the live seeds and culls the rest.

    Only a seed in SHADOWING or PROBATIONARY can get a new target; a better one in an earlier stage
    stays as it is.  Seeds rank by score, an unknown one as 0.5; ties go to the seed further in its
    lifecycle, then to the lower index.  In a slot without a live seed, a decision to add germinates
    one seed at `initial_blend`, which later decisions raise, and any other decision gives an empty
    plan.

    alpha_step: rise of the alpha target, up to 1.0.
    initial_blend: alpha target in (0, 1] of the seed that germinates in an empty slot.
    """

    name: ClassVar[str] = "specialize"

    alpha_step: float = 0.2
    initial_blend: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        blend = self.initial_blend
        require(0 < self.alpha_step <= 1, "orchestrator.alpha_step", "in (0, 1]", self.alpha_step)
        require(0 < blend <= 1, "orchestrator.initial_blend", "in (0, 1]", blend)

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan that favours the better half, or an empty one."""
        if not request.slot.live:
            return request.first_germination(self.initial_blend)
        ranked = sorted(request.slot.live, key=lambda seed: _rank(request, seed))
        num_kept = (len(ranked) + 1) // 2
        kept, rest = ranked[:num_kept], ranked[num_kept:]
        movable = [seed for seed in kept if seed.stage in RETARGETABLE]
        raised = [seed for seed in movable if self._raised(seed) != seed.alpha_target]
        changes = [
            SeedChange(action=Action.RETARGET, seed=seed.seed, alpha_target=self._raised(seed))
            for seed in raised
        ]
        changes += [SeedChange(action=Action.CULL, seed=seed.seed) for seed in rest]
        if not changes:
            return request.nothing("no live seed can get a higher alpha target now")
        reasoning = (
            f"of {len(ranked)} live seeds of slot '{request.slot.spec.name}' keep "
            f"{_indices(kept)}, raise {_indices(raised)}, cull {_indices(rest)}"
        )
        return request.plan(changes, (seed.bound for seed in raised), reasoning)

    def _raised(self, seed: SeedState) -> float:
        """Return the seed's next alpha target, rounded so that repeated steps reach 1 exactly."""
        return min(1.0, round(seed.alpha_target + self.alpha_step, 12))


def _rank(request: PlanRequest, seed: SeedState) -> tuple[float, int, int]:
    """Return a key that sorts better seeds first."""
    score = request.score(seed)
    return -(_UNKNOWN if score is None else score), -STAGE_NUMBERS[seed.stage], seed.seed


def _indices(seeds: list[SeedState]) -> str:
    return ", ".join(str(index) for index in sorted(seed.seed for seed in seeds)) or "none"
