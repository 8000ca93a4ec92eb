"""State of slots and seeds, as policies and orchestrators read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from esper.contracts.health import Birth, BlockHealth
from esper.contracts.stage import LIVE, SeedStage


class SlotKind(StrEnum):
    """Kind of tensor that flows through a slot; decides which blueprints fit.  B batch."""

    DENSE = "dense"  # (B, features)
    FEATURE_MAP = "feature_map"  # (B, channels, height, width)
    SEQUENCE = "sequence"  # (B, positions, features)


class Placement(StrEnum):
    """Where a kernel reads: the block's output (deeper) or the block's input (wider)."""

    SERIES = "series"
    PARALLEL = "parallel"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSpec:
    """Properties of a slot that never change.

    name: module path of the block in the host, "" for the host itself.
    in_shape: shape of the input of a kernel, without the batch dimension.
    out_shape: shape of the block's output, without the batch dimension.
    catalogue: names of the blueprints that may be tried here, in order.
    is_late: whether it is in the second half of the slots, in the order of the host's modules.
    """

    name: str
    kind: SlotKind
    placement: Placement
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    catalogue: tuple[str, ...]
    is_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """An evaluation of a seed on trial, at which a policy keeps it, culls it or waits.

    epoch: at the end of which it was taken.
    age: whole epochs of training since the seed's germination.
    is_last: True if no further look follows.
    is_unpaid: True if it is the last because the trial may cost no more.
    bar: relative gain that the seed must exceed to be kept, its price taken off before.
    last_bar: the bar if this were the last look.
    least: the part of the bar that does not depend on the standard error.
    shown: share of a kernel's lasting gain that the method of attribution shows, > 0.
    """

    epoch: int
    age: int
    is_last: bool
    bar: float
    last_bar: float = 0.0
    least: float = 0.0
    shown: float = 1.0
    is_unpaid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """A blueprint that could replace a kernel of a slot.

    expected_gain: relative gain that the strategy expects of it; None when nothing is known.
    first_order: L1 norm of its kernel's gradient at birth, None when not measured.
    added_flops: as `SeedState.added_flops`.
    fits: whether the run can pay for its trial once the kernel is gone.
    risk: as `SeedState.risk`.
    """

    blueprint: str
    expected_gain: float | None
    first_order: float | None = None
    added_flops: float = 0.0
    fits: bool = True
    risk: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedState:
    """One seed at the end of an epoch; `None` means not measured, never healthy.

    bound: blueprint that this seed tries next, or tries now.
    epochs_in_stage: finished epochs since the stage was entered.
    epochs_since_germination: finished epochs since germination; None when not live.
    activations: number of germinations so far.
    last_used_epoch: epoch of the last germination or cull; None when never used.
    alpha, alpha_target: blend factor now and at the end of the ramp, each in [0, 1].
    parameters: trainable and frozen parameters of the kernel, 0 without one.
    added_flops: forward FLOPs of the kernel, relative to those of the network without live
        kernels.
    gradient_norm: mean L2 norm of the kernel's gradient over the sampled steps of the epoch.
    unhealthy_epochs: epochs in a row in which that gradient was 0 or not finite.
    error_rate: failures of the kernel a training step, as `SeedHealth.error_rate`.
    improvement: validation accuracy with the seed at its last look minus at germination, a
        fraction.
    improvement_error: standard error of `improvement`.
    look: the look of this epoch, None if none was due.
    ablation: relative contribution, (loss without the seed - loss with it) / loss without it, at
        the last look.
    gain: relative gain credited to the seed by the chosen attribution (see `Attribution`).
    gain_error: standard error of `gain`.
    risk: prior probability that the blueprint harms a network, in [0, 1].
    """

    slot: str
    seed: int
    stage: SeedStage
    bound: str
    epochs_in_stage: int = 0
    epochs_since_germination: int | None = None
    activations: int = 0
    last_used_epoch: int | None = None
    alpha: float = 0.0
    alpha_target: float = 1.0
    parameters: int = 0
    added_flops: float = 0.0
    gradient_norm: float | None = None
    unhealthy_epochs: int = 0
    error_rate: float | None = None
    improvement: float | None = None
    improvement_error: float | None = None
    look: Look | None = None
    ablation: float | None = None
    gain: float | None = None
    gain_error: float | None = None
    risk: float = 0.0

    @property
    def is_live(self) -> bool:
        """True from GERMINATED to PROBATIONARY."""
        return self.stage in LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState:
    """One slot at the end of an epoch.

    rests_until: first epoch at which the slot may change again (cool-down after a change).
    last_cull_epoch: epoch of the slot's last cull, None before the first.
    least_flops: forward FLOPs a sample of the cheapest kernel that could germinate here; infinite
        if there is none.
    score: highest first-order score of the blueprints that its dormant seeds are bound to, >= 0;
        None when not measured.
    prospects: what could replace a kernel that this epoch's look may cull, the most promising
        first; empty when no look may cull one.
    health: of the block at the last probe; None if nothing reads health.
    births: of the blueprints that its dormant seeds are bound to, at the last probe.
    """

    spec: SlotSpec
    seeds: tuple[SeedState, ...]
    rests_until: int = 0
    last_cull_epoch: int | None = None
    score: float | None = None
    least_flops: float = 0.0
    prospects: tuple[Prospect, ...] = ()
    health: BlockHealth | None = None
    births: tuple[Birth, ...] = ()

    @property
    def live(self) -> tuple[SeedState, ...]:
        """The live seeds, whose kernels are neither fossilized nor culled yet."""
        return tuple([seed for seed in self.seeds if seed.stage in LIVE])


def free_bindings(catalogue: Sequence[str], bound: Sequence[str], seed: int) -> list[str]:
    """Return the blueprints that the culled seed with index `seed` may try next.

    Those that no other seed of the slot is bound to, in the catalogue's order after the seed's own,
    which is last.  `bound` holds the blueprint of each seed of the slot, in order.
    """
    own = catalogue.index(bound[seed])
    turn = [*catalogue[own + 1 :], *catalogue[: own + 1]]
    others = [*bound[:seed], *bound[seed + 1 :]]
    return [name for name in turn if name not in others] or turn


def next_binding(catalogue: Sequence[str], bound: Sequence[str], seed: int) -> str:
    """Return the first of `free_bindings`, for a seed of whose blueprints nothing is known."""
    return free_bindings(catalogue, bound, seed)[0]
