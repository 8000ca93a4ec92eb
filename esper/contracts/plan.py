"""A plan to change one slot, and the seeds that a strategy chose for it."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

from esper.contracts.event import EventKind
from esper.contracts.stage import SeedStage


class Action(StrEnum):
    """The kinds of change of one seed."""

    GERMINATE = "germinate"
    RETARGET = "retarget"
    FOSSILIZE = "fossilize"
    CULL = "cull"


TARGET_STAGE = {
    Action.GERMINATE: SeedStage.GERMINATED,
    Action.RETARGET: SeedStage.BLENDING,
    Action.FOSSILIZE: SeedStage.FOSSILIZED,
    Action.CULL: SeedStage.CULLED,
}
"""Stage to which each kind of change moves a seed."""

BLENDING = (Action.GERMINATE, Action.RETARGET)
"""The kinds of change that give a seed an alpha target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedChange:
    """One change of one seed.

    seed: index of the seed; None for a germination whose seed the strategy chooses.
    blueprint: for a germination; None takes the blueprint that the chosen seed is bound to.
    offered: for a germination of a named seed, the blueprints of which the strategy chooses one.
    alpha_target: for a germination or a retarget, in (0, 1].
    rests: for a cull; False lets the seed pass straight to DORMANT, so that the same plan can
        germinate it again.
    expected_gain: for a germination, the relative gain expected of the blueprint there; None
        before the strategy has chosen, and when nothing is known yet.
    is_optional: for a germination whose seed the strategy chooses; it happens only if the strategy
        expects a reward of at least 0 of its choice.
    """

    action: Action
    seed: int | None = None
    blueprint: str | None = None
    offered: tuple[str, ...] = ()
    alpha_target: float = 1.0
    rests: bool = True
    expected_gain: float | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes of one slot, in order; a plan without changes means nothing to do.

    kind: the orchestrator that made it, or `verdict` for a plain fossilize or cull.
    expected_improvement: largest gain expected of the chosen blueprints, None without any.
    risk: of the decision or of the riskiest chosen blueprint, whichever is larger.
    exceeds_concurrency: True when the plan may exceed `viability.max_concurrent_seeds`.
    shares_alpha: True when the seeds that blend get an alpha target of 1 / their number.
    """

    event_kind: ClassVar[EventKind] = EventKind.PLAN

    slot: str
    kind: str
    changes: tuple[SeedChange, ...]
    reasoning: str
    expected_improvement: float | None = None
    risk: float = 0.0
    exceeds_concurrency: bool = False
    shares_alpha: bool = False

    @property
    def num_seeds(self) -> int:
        """Number of seeds that the plan changes; a replaced seed counts once."""
        return len({change.seed for change in self.changes})

    @property
    def germinations(self) -> list[tuple[int, str]]:
        """Seed and blueprint of each germination that names both."""
        return [
            (change.seed, change.blueprint)
            for change in self.changes
            if change.action is Action.GERMINATE
            and change.seed is not None
            and change.blueprint is not None
        ]

    def evened(self) -> "Plan":
        """Return the plan with even alpha targets if it shares alpha, else itself."""
        blending = [change for change in self.changes if change.action in BLENDING]
        if not self.shares_alpha or not blending:
            return self
        share = 1 / len(blending)
        changes = (
            replace(change, alpha_target=share) if change.action in BLENDING else change
            for change in self.changes
        )
        return replace(self, changes=tuple(changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCost:
    """Size of a kernel.

    parameters: trainable and frozen ones.
    memory_mb: bytes of its weights, gradients and optimizer state / 2**20.
    flops: forward FLOPs a sample.
    """

    parameters: int = 0
    memory_mb: float = 0.0
    flops: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A seed that the strategy considered."""

    seed: int
    blueprint: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which seed a strategy chose for a germination; `seed` is None when nothing is viable.

    score: the chosen seed's score; None when it was not scored (infinite scores are None too).
    """

    event_kind: ClassVar[EventKind] = EventKind.SELECTION

    strategy: str
    slot: str
    seed: int | None = None
    blueprint: str | None = None
    score: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    reason: str
