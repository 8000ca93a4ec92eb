"""The control of one network of a stack: a `Grower` whose tensors are elsewhere.

Its model is a real one, with real kernels, but it is neither trained nor evaluated: a stack does
both, for many networks at once.  The weights in it are those of the last `Row.put_back`.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.attribution.evaluation import Evaluation
from esper.attribution.first_order import Loss
from esper.attribution.health import Probe
from esper.attribution.kept import due
from esper.attribution.modes import Key, Modes
from esper.contracts.errors import EsperError
from esper.contracts.event import LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.slot import SlotSpec
from esper.contracts.stage import BLENDED, LIVE, ON_TRIAL, SeedStage
from esper.contracts.step import StepReport
from esper.grower.checks import StepInputs
from esper.grower.grower import Grower
from esper.grower.read_out import BestAverage
from esper.growth.average import WeightAverage
from esper.growth.data_flow import data_flow
from esper.growth.host import Host
from esper.growth.inputs import RecentInputs
from esper.growth.options import ReadOut
from esper.growth.prepare import HostSetup, prepare
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel
from esper.kernels.make import Limits, Maker
from esper.kernels.request import Request
from esper.run.episodes.hosts import EpisodeHost
from esper.safety.governor import Health
from esper.safety.rollback import Governor, Inspection, Snapshot
from esper.training.optimizer import build_optimizer
from esper.training.options import Training


class UnsupportedError(EsperError):
    """An episode needs what only a `Grower` with its own training can do."""


class _NoAverage(WeightAverage):
    """Stands for the average of a network whose weights a stack averages.

    mean: as of the last time that the weights were put back into the model.
    """

    def __init__(self, epochs: float) -> None:
        self.mean, self.waiting, self.epochs = {}, 0.0, epochs

    def follow(self) -> None:
        """Do nothing."""

    def catch_up(self) -> None:
        """Do nothing."""

    def load(self, mean: Mapping[str, Tensor | None], waiting: float = 0.0) -> None:
        """Do nothing."""


class _NoInputs(RecentInputs):
    """Records nothing: dense hosts have no batch statistics."""

    @property
    def is_needed(self) -> bool:
        """False."""
        return False

    def record(self, *, wanted: bool) -> None:
        """Do nothing."""


class RowHost(Host):
    """A host whose optimizer takes no steps."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, setup: HostSetup) -> None:
        super().__init__(model, optimizer, setup.growth, setup.coin, setup.average_epochs)
        self.average, self.inputs = _NoAverage(setup.average_epochs), _NoInputs(model)
        self._own = super().num_parameters, super().num_trainable

    @property
    def num_parameters(self) -> int:
        """Parameters of the network, kernels included."""
        return self._own[0] + sum(life.parameters for _, life in self.kernels())

    @property
    def num_trainable(self) -> int:
        """Trainable ones of these parameters."""
        return self._own[1] + sum(life.trainable for _, life in self.kernels())

    def germinate(
        self, slot: str, index: int, kernel: Kernel, activation: Activation, reason: str = ""
    ) -> list[LifecycleMove]:
        """Put a copy of a kernel into a dormant seed, as `Host.germinate` does."""
        own = replace(kernel, module=copy.deepcopy(kernel.module))
        return super().germinate(slot, index, own, activation, reason)

    def begin_epoch(self) -> None:
        """Prepare the first step of an epoch."""
        self.steps.toss(self.global_step)

    def _listen(self) -> None:
        """Register no hooks."""


def _make_host(
    model: nn.Module, optimizer: Optimizer, example_input: Tensor, setup: HostSetup
) -> RowHost:
    """Return a host as `prepare` does, with slots that are known instead of found."""
    assert isinstance(model, EpisodeHost)
    host = RowHost(model, optimizer, setup)
    host.base_flops = float(_flops(model))
    host.place(_specs(model, example_input, setup), setup.num_seeds)
    if setup.follows_data:
        host.data_flow = data_flow(model, example_input, list(host.slots))
    return host


MOST_KEPT = 8192
"""Kernels that `_KeepingMaker` keeps."""


class _KeepingMaker(Maker):
    """Makes each kernel once: rows with one seed ask for the same ones, and ask again to rank them.

    What germinates is a copy.
    """

    def __init__(self) -> None:
        super().__init__(Limits())
        self._kept: dict[tuple[Any, ...], Kernel] = {}

    def make(self, request: Request, *, in_background: bool = False) -> Kernel:
        """Return the kernel of a request, which must not be changed."""
        key = (request.key, request.weights)
        kernel = self._kept.get(key)
        if kernel is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kernel = self._kept[key] = super().make(request, in_background=in_background)
        return kernel


_MAKER = _KeepingMaker()

_SPECS: dict[tuple[Any, ...], list[SlotSpec]] = {}


def _specs(model: EpisodeHost, example_input: Tensor, setup: HostSetup) -> list[SlotSpec]:
    """Return the slots of a host, which are the same for every dense one with as many blocks."""
    key = (len(model.blocks), setup.selection, setup.slots, setup.placement)
    if key not in _SPECS:
        other = copy.deepcopy(model)
        found = prepare(other, build_optimizer(other, Training()), example_input, setup)
        _SPECS[key] = [slot.spec for slot in found.slots.values()]
    return _SPECS[key]


def _flops(model: nn.Module) -> int:
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return sum(2 * layer.weight.numel() for layer in layers)


class _Judge(Governor):
    """A governor that judges, but cannot roll back."""

    def keep(self, epoch: int) -> None:
        """Note which kernels are blended, and no weights."""
        if self._snapshot is not None:
            self._snapshot = Snapshot.of_stages(self.trials.host, epoch)

    def _roll_back(self, snapshot: Snapshot, health: Health, metrics: EpochMetrics) -> Inspection:
        raise UnsupportedError(f"the governor rolls back at epoch {metrics.epoch}: {health.reason}")


class RowBest(BestAverage):
    """Notes when the network is the best so far; the stack keeps the weights.

    kept: the kernels of that network.
    is_new: whether it is that of the present epoch; the stack resets it.
    """

    def __init__(self, host: Host, options: ReadOut) -> None:
        super().__init__(host, options)
        self.kept: frozenset[Key] = frozenset()
        self.is_new = False

    def keep(self, loss: float, epoch: int) -> None:
        """Note the kernels of the network that are not live."""
        self.loss, self.epoch, self.is_new = loss, epoch, True
        seeds = self.host.seeds()
        kept = [(s.slot, s.index) for s in seeds if s.stage is SeedStage.FOSSILIZED]
        self.kept = frozenset(kept)
        self._tensors = {}

    def apply(self) -> int | None:
        """Remove the kernels that the best network does not have; return its epoch."""
        self.is_applied = True
        for seed in self.host.seeds():
            if seed.current is not None and (seed.slot, seed.index) not in self.kept:
                self.host.leave_out(seed)
        return self.epoch


class RowModes(Modes):
    """Evaluations that a stack makes: some are known already, others it makes when asked."""

    def __init__(
        self,
        host: Host,
        known: Mapping[frozenset[Key], Evaluation],
        evaluate: Callable[[frozenset[Key]], Evaluation],
    ) -> None:
        super().__init__(_no_evaluate, host)
        self._given, self._asked = known, evaluate

    def _evaluated(self, muted: frozenset[Key]) -> Evaluation:
        return self._given[muted] if muted in self._given else self._asked(muted)

    @contextmanager
    def settled_network(self) -> Iterator[None]:
        """Do nothing: the stack keeps the best network."""
        yield


def _no_evaluate(model: nn.Module) -> Any:
    raise AssertionError("a stack evaluates its networks")


class RowGrower(Grower):
    """A grower of a network that a stack trains and evaluates."""

    make_host, make_governor, make_best = staticmethod(_make_host), _Judge, RowBest
    best: RowBest

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.adapter.pipeline.maker = _MAKER

    def step_on(
        self, modes: Modes, trained: TrainReport, loss: Loss | None, probe: Probe
    ) -> StepReport:
        """Take the control step of an epoch; arguments as those of `Grower.step`.

        Raises:
            UnsupportedError: if the governor would roll the network back.
        """
        given = StepInputs(_no_evaluate, trained=trained, loss=loss, probe=probe)
        return self.act(self.observe(given, modes), loss)

    def modes_needed(self) -> set[frozenset[Key]]:
        """Return the muted kernels of the evaluations that the next control step asks for.

        A step that asks for more gets it too, but evaluates that alone.
        """
        host, epoch, options = self.host, self.epoch + 1, self.options.attribution
        live = [seed for seed in host.seeds() if seed.stage in BLENDED & LIVE]
        blended = frozenset((seed.slot, seed.index) for seed in live)
        on_trial = {(seed.slot, seed.index) for seed in live if seed.stage in ON_TRIAL}
        needed = {blended}
        if any(seed.stage is SeedStage.BLENDING for seed in live):
            needed.add(frozenset())
        for seed in live:
            life, key = seed.activation, (seed.slot, seed.index)
            age = epoch - life.aged_from
            if key in on_trial and options.due(age, epoch, self.epochs, again=life.blends_again):
                others = frozenset(on_trial - {key})
                needed |= {frozenset(), frozenset({key}), others, others | {key}}
        if host.looks_again:
            needed |= {blended | {(seed.slot, seed.index)} for seed in due(host, epoch)}
        return needed

    def _begin_epoch(self) -> None:
        self.host.begin_epoch()
