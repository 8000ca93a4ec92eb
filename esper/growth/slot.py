"""The records of seeds and slots: plain values that change while a network grows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from torch import nn

from esper.blueprint import catalogue
from esper.contracts.event import Gate, LifecycleMove
from esper.contracts.outcome import GainPoint
from esper.contracts.slot import Look, SeedState, SlotSpec, SlotState
from esper.contracts.stage import LIVE, SeedStage, check_move
from esper.growth.ramp import Ramp

_SHOWN = 8
"""Most slots that a line on a host names."""


@dataclass(slots=True)
class GradientHealth:
    """Norms of a kernel's gradient over the sampled steps of an epoch."""

    total: float = 0.0
    count: int = 0
    is_finite: bool = True

    def add(self, norm: float) -> None:
        """Add the norm of one step."""
        self.count += 1
        self.is_finite = self.is_finite and math.isfinite(norm)
        self.total += norm

    @property
    def mean(self) -> float | None:
        """Mean norm; None if no step was measured or one was not finite."""
        return self.total / self.count if self.count and self.is_finite else None


@dataclass(slots=True)
class Activation:
    """The record of one activation of a seed, from germination to the verdict.

    event: number of the growth event in which the seed germinated.
    start_accuracy, start_loss: of the network on the validation split, at germination.
    target: blend factor that alpha rises to, in (0, 1].
    expected_gain: relative gain expected of it at germination, None when nothing was known.
    aged_from: epoch at which its age was 0; later than germination if it blends again.
    gradient: of the present epoch.  gradient_norm: mean norm over the epoch before.
    unhealthy_epochs: epochs in a row in which the gradient was 0 or not finite.
    improvement: change in validation accuracy since germination, at the last look.
    look: the last look at the seed, None before the first.
    ablation, gain: the seed's contribution, relative to the loss (see `attribution`).
    steps: training steps of the present epoch that the kernel took part in.
    errors_before: failures until the end of the epoch before.
    error_rate: failures a step of the last epoch with such steps; None before the first.
    errors: failures of the kernel.  recoveries: those after which it was used again.
    rests: whether the kernel is left out because it keeps failing.
    kept_epoch: epoch of the verdict that kept it, None before.
    looked_after: epochs from then to the last later look, 0 before it.
    features, reading: of its germination, see `LedgerEntry`.
    """

    event: int
    germinated_epoch: int
    aged_from: int
    blueprint: str
    parameters: int
    trainable: int
    flops: int
    latency_ms: float | None
    start_accuracy: float | None
    start_loss: float
    target: float
    expected_gain: float | None = None
    ramp: Ramp | None = None
    blend_loss: float | None = None
    gradient: GradientHealth = field(default_factory=GradientHealth)
    gradient_norm: float | None = None
    unhealthy_epochs: int = 0
    blended_steps: int = 0
    improvement: float | None = None
    improvement_error: float | None = None
    look: Look | None = None
    ablation: float | None = None
    gain: float | None = None
    gain_error: float | None = None
    accuracy_gain: float | None = None
    steps: int = 0
    errors_before: int = 0
    error_rate: float | None = None
    errors: int = 0
    recoveries: int = 0
    rests: bool = False
    kept_epoch: int | None = None
    looked_after: int = 0
    features: tuple[float | None, ...] = ()
    reading: str = ""
    gains: list[GainPoint] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def blends_again(self) -> bool:
        """True if it got another alpha target since germination."""
        return self.aged_from != self.germinated_epoch


@dataclass(slots=True)
class Seed:
    """A place for one kernel in a slot.

    bound: name of the blueprint of its kernel, or of the next one.
    activations: number of germinations so far.
    current: the record of its kernel, None without a kernel.
    """

    slot: str
    index: int
    bound: str
    stage: SeedStage = SeedStage.DORMANT
    epochs_in_stage: int = 0
    activations: int = 0
    last_used_epoch: int | None = None
    alpha: float = 0.0
    current: Activation | None = None

    @property
    def activation(self) -> Activation:
        """The record of the seed's kernel, which it must have."""
        assert self.current is not None, f"seed {self.index} of slot '{self.slot}' has no kernel"
        return self.current

    def enter(self, stage: SeedStage, gate: Gate | None, reason: str) -> LifecycleMove:
        """Move to a stage and return the move; raise `LifecycleError` if the table forbids it."""
        check_move(self.slot, self.index, self.stage, stage)
        move = LifecycleMove(
            slot=self.slot,
            seed=self.index,
            blueprint=self.bound,
            from_stage=self.stage,
            to_stage=stage,
            gate=gate,
            reason=reason,
        )
        self.stage, self.epochs_in_stage = stage, 0
        return move

    def state(self, epoch: int, settled_flops: float) -> SeedState:
        """Return the state of this seed at the end of `epoch`, as policies see it.

        `settled_flops` are the forward FLOPs a sample of the network without live kernels.
        """
        activation, risk = self.current, catalogue.risk_of(self.bound)
        used = self.epochs_in_stage, self.activations, self.last_used_epoch
        state = _at_rest((self.slot, self.index), self.stage, self.bound, used, risk)
        if activation is None:
            return state
        look = activation.look
        return replace(
            state,
            alpha=self.alpha,
            epochs_since_germination=epoch - activation.germinated_epoch,
            alpha_target=activation.target,
            parameters=activation.parameters,
            added_flops=activation.flops / settled_flops if settled_flops > 0 else 0.0,
            gradient_norm=activation.gradient_norm,
            unhealthy_epochs=activation.unhealthy_epochs,
            error_rate=activation.error_rate,
            improvement=activation.improvement,
            improvement_error=activation.improvement_error,
            look=None if look is None or look.epoch != epoch else look,
            ablation=activation.ablation,
            gain=activation.gain,
            gain_error=activation.gain_error,
        )


@lru_cache(maxsize=8192)
def _at_rest(
    key: tuple[str, int],
    stage: SeedStage,
    bound: str,
    used: tuple[int, int, int | None],
    risk: float,
) -> SeedState:
    """Return the state of a seed without a kernel: many of a run, and of others, are equal."""
    return SeedState(
        slot=key[0],
        seed=key[1],
        stage=stage,
        bound=bound,
        epochs_in_stage=used[0],
        activations=used[1],
        last_used_epoch=used[2],
        risk=risk,
    )


@dataclass(slots=True)
class Slot:
    """A slot of a host.

    module: the block whose output the kernels add to.
    rests_until: epoch before which no seed germinates here.
    """

    spec: SlotSpec
    module: nn.Module
    seeds: list[Seed]
    rests_until: int = 0
    last_cull_epoch: int | None = None

    @classmethod
    def empty(cls, spec: SlotSpec, module: nn.Module, num_seeds: int) -> "Slot":
        """Return a slot of dormant seeds, bound to the catalogue's blueprints in turn."""
        catalogue = spec.catalogue
        seeds = [Seed(spec.name, i, catalogue[i % len(catalogue)]) for i in range(num_seeds)]
        return cls(spec, module, seeds)

    def __repr__(self) -> str:
        return f"Slot({self.spec.name}, seeds {', '.join(seed.stage for seed in self.seeds)})"

    def state(self, epoch: int, settled_flops: float, least_flops: float = 0.0) -> SlotState:
        """Return the state of this slot at the end of `epoch`; see `Seed.state`."""
        return SlotState(
            spec=self.spec,
            least_flops=least_flops,
            seeds=tuple(seed.state(epoch, settled_flops) for seed in self.seeds),
            rests_until=self.rests_until,
            last_cull_epoch=self.last_cull_epoch,
        )


def in_words(slots: Sequence[str], seeds: Sequence[Seed], num_parameters: int) -> str:
    """Return a line on a host: its slots, its seeds, and its parameters."""
    names = [*slots[:_SHOWN], *(["..."] if len(slots) > _SHOWN else [])]
    kept = [
        f"{seed.slot}/{seed.index} {seed.activation.blueprint}"
        for seed in seeds
        if seed.stage is SeedStage.FOSSILIZED
    ]
    live = sum(seed.stage in LIVE for seed in seeds)
    size = f"live seeds {live}, parameters {num_parameters:,}"
    return f"slots {', '.join(names)}, kept {', '.join(kept) or 'none'}, {size}"
