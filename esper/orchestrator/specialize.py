"""Keeps the better half of a slot's live seeds and gives it more weight."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState
from esper.contracts.stage import RETARGETABLE, SeedStage
from esper.orchestrator.base import Knowledge
from esper.orchestrator.request import PlanRequest, check_option, verdict

_ORDER = {stage: place for place, stage in enumerate(SeedStage)}
_UNKNOWN = 0.5  # neither good nor bad, as a seed that changes nothing


@dataclass(frozen=True)
class Specialize:
    """Raises alpha of the better half (rounded up) of the live seeds and culls the rest.

    Only a seed in SHADOWING or PROBATIONARY can get a new target; a better one in an earlier stage
    just stays.  Seeds rank by score, an unknown one as 0.5; ties go to the seed further in its
    lifecycle, then to the lower index.  In a slot without a live seed a decision to add germinates
    one seed at `initial_blend`, to be raised when asked later; any other finds nothing to do.

    alpha_step: what the alpha target rises by, up to 1.0.
    initial_blend: alpha target in (0, 1] of the seed that germinates in an empty slot.
    adaptation_cooldown_epochs: epochs that a slot rests after a change.
    """

    name: ClassVar[str] = "specialize"

    alpha_step: float = 0.2
    initial_blend: float = 0.6
    adaptation_cooldown_epochs: int = 5

    def __post_init__(self) -> None:
        cooldown = self.adaptation_cooldown_epochs
        check_option(0 < self.alpha_step <= 1, "alpha_step", "in (0, 1]", self.alpha_step)
        check_option(0 < self.initial_blend <= 1, "initial_blend", "in (0, 1]", self.initial_blend)
        check_option(cooldown >= 0, "adaptation_cooldown_epochs", ">= 0", cooldown)

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return the plan that favours the better half, or an empty one."""
        request = PlanRequest.read(decision, observation, knowledge)
        if request.is_verdict:
            return verdict(request)
        if not request.slot.live:
            if request.asks_to_add:
                return request.germination(self.name, 1, self.initial_blend)
            return request.nothing(self.name, "no seed is live")
        ranked = sorted(request.slot.live, key=lambda seed: _rank(request, seed))
        num_kept = (len(ranked) + 1) // 2
        kept, rest = ranked[:num_kept], ranked[num_kept:]
        raised = [seed for seed in kept if self._raised(seed) != seed.alpha_target]
        raised = [seed for seed in raised if seed.stage in RETARGETABLE]
        changes = [_retarget(seed.seed, self._raised(seed)) for seed in raised]
        changes += [SeedChange(action=Action.CULL, seed=seed.seed) for seed in rest]
        if not changes:
            return request.nothing(self.name, "no live seed can get a higher alpha target now")
        reasoning = (
            f"of {len(ranked)} live seeds of slot '{request.slot.spec.name}' keep "
            f"{_indices(kept)}, raise {_indices(raised)}, cull {_indices(rest)}"
        )
        return request.plan(self.name, changes, (seed.bound for seed in raised), reasoning)

    def _raised(self, seed: SeedState) -> float:
        """Return the seed's next alpha target, without the dust of binary fractions."""
        return min(1.0, round(seed.alpha_target + self.alpha_step, 12))


def _rank(request: PlanRequest, seed: SeedState) -> tuple[float, int, int]:
    """Return a key that sorts better seeds first."""
    score = request.score(seed)
    return -(_UNKNOWN if score is None else score), -_ORDER[seed.stage], seed.seed


def _retarget(seed: int, alpha_target: float) -> SeedChange:
    """Return the change that sends a seed to a new alpha target."""
    return SeedChange(action=Action.RETARGET, seed=seed, alpha_target=alpha_target)


def _indices(seeds: list[SeedState]) -> str:
    """Return the seeds' indices as words."""
    return ", ".join(str(index) for index in sorted(seed.seed for seed in seeds)) or "none"
