"""Keeps the better half of a slot's live seeds and gives it more weight."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState
from esper.contracts.stage import RETARGETABLE, STAGE_NUMBERS
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest


@dataclass(frozen=True)
class Specialize(Orchestrator):
    """Gives the better half (rounded up) of the live seeds more weight, culls the rest.

    Only a seed in SHADOWING or PROBATIONARY can get a new target; a better one in an earlier stage
    stays as it is, as does a seed that was never measured while others were.  Ties go to the seed
    further in its lifecycle, then to the lower index.  In a slot without a live seed, a decision to
    add germinates one seed at `initial_blend`, which later decisions raise, and any other decision
    gives an empty plan.

    alpha_step: rise of the alpha target, up to 1.0; None: the target is 1 / the live seeds left.
    initial_blend: alpha target in (0, 1] of the seed that germinates in an empty slot.
    """

    name: ClassVar[str] = "specialize"

    alpha_step: float | None = 0.2
    initial_blend: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        blend, step = self.initial_blend, self.alpha_step
        is_step = step is None or 0 < step <= 1
        require(is_step, "orchestrator.alpha_step", "in (0, 1] or null", step)
        require(0 < blend <= 1, "orchestrator.initial_blend", "in (0, 1]", blend)

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan that favours the better half, or an empty one."""
        if not request.slot.live:
            return request.first_germination(self.initial_blend)
        scores = {seed.seed: request.score(seed) for seed in request.slot.live}
        measured = [seed for seed in request.slot.live if scores[seed.seed] is not None]
        here = measured or request.slot.live
        ranked = sorted(here, key=lambda seed: _rank(seed, scores[seed.seed] or 0.0))
        num_kept = (len(ranked) + 1) // 2
        kept, rest = ranked[:num_kept], ranked[num_kept:]
        movable = [seed for seed in kept if seed.stage in RETARGETABLE]
        num_left = len(request.slot.live) - len(rest)
        targets = {seed.seed: self._target(seed, num_left) for seed in movable}
        moved = [seed for seed in movable if targets[seed.seed] != seed.alpha_target]
        changes = [
            SeedChange(action=Action.RETARGET, seed=seed.seed, alpha_target=targets[seed.seed])
            for seed in moved
        ]
        changes += [SeedChange(action=Action.CULL, seed=seed.seed) for seed in rest]
        if not changes:
            return request.nothing("no live seed can get another alpha target now")
        reasoning = (
            f"of {len(ranked)} live seeds of slot '{request.slot.spec.name}' keep "
            f"{_indices(kept)}, blend {_indices(moved)} again, cull {_indices(rest)}"
        )
        return request.plan(changes, reasoning)

    def _target(self, seed: SeedState, num_left: int) -> float:
        """Return the seed's next alpha target, rounded so that repeated steps reach 1 exactly."""
        if self.alpha_step is None:
            return 1 / num_left
        return min(1.0, round(seed.alpha_target + self.alpha_step, 12))


def _rank(seed: SeedState, score: float) -> tuple[float, int, int]:
    """Return a key that sorts better seeds first."""
    return -score, -STAGE_NUMBERS[seed.stage], seed.seed


def _indices(seeds: list[SeedState]) -> str:
    return ", ".join(str(index) for index in sorted(seed.seed for seed in seeds)) or "none"
