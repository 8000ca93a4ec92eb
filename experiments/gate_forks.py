"""Fork a run before a growth event, and train the branches: the true gain of a kernel.

    true gain = 1 - loss of the network that keeps the kernel / loss of the one that never had it

Both train 9 epochs after the event at the constant learning rate and 5 more in which it falls to 0,
on equal batches, and without any control step.  The kernel is isolated for an epoch, then blended,
then always on.  The mean over repeats, each with another order of the data after the event.
"""

import copy
import statistics
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn
from torch.optim import Optimizer

from esper.config import RunConfig
from esper.contracts.metrics import EpochMetrics
from esper.contracts.plan import Action, Plan, SeedChange
from esper.data.base import DataSet
from esper.growth.apply import apply
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.pipeline import build_kernel
from esper.run.model import example_input
from esper.run.task import Task, scores
from esper.training.optimizer import build_optimizer
from experiments.gate_kernels import enlist

CONSTANT_EPOCHS, DECAY_EPOCHS = 9, 5
"""Epochs after the growth event."""

_WHY = "the branch that keeps it"


@dataclass(frozen=True)
class TrueGain:
    """A kernel's true gain on a split, and the standard error over the repeats."""

    value: float
    error: float


class Fork:
    """A host that was trained up to the last epoch before the one that ends with a growth event.

    event_epoch: the growth event comes at its end, counted from 1.
    """

    def __init__(self, config: RunConfig, event_epoch: int, repeats: int) -> None:
        enlist()
        torch.set_num_threads(config.training.threads)
        self.config, self.event_epoch, self.repeats = config, event_epoch, repeats
        self.data: DataSet = config.data.load()
        torch.manual_seed(config.rng_seed)
        model: nn.Module = config.model.build(self.data.spec)
        self._trained = (model, build_optimizer(model, config.training))
        self.task = self.task_of(config.rng_seed, config.epochs, config.training.decay_from)
        for epoch in range(1, event_epoch):
            self.task.train(*self._trained, epoch)

    def task_of(self, rng_seed: int, epochs: int, decay_from: float) -> Task:
        """Return the task with another order of the data or schedule."""
        training = replace(self.config.training, decay_from=decay_from)
        return Task(self.data, self.config.data.batch_size, training, epochs, rng_seed)

    def branch(self) -> tuple[nn.Module, Optimizer]:
        """Return a copy of the trained model with its optimizer."""
        return copy.deepcopy(self._trained)

    def host(self, blueprints: tuple[str, ...] | str = "standard") -> Host:
        """Return a branch with slots that offer the blueprints."""
        setup = HostSetup(num_seeds=1, selection=blueprints)
        return prepare(*self.branch(), example_input(self.data), setup)

    def true_gain(self, slot: str, blueprint: str) -> dict[str, TrueGain]:
        """Return a kernel's true gain on `val` and `test`."""
        kept = [self._losses(repeat, slot, blueprint) for repeat in range(self.repeats)]
        gains = {}
        for split in ("val", "test"):
            ratios = [
                mine[split] / other[split] for mine, other in zip(kept, self.never, strict=True)
            ]
            ends = [sum(losses[split] for losses in arm) for arm in (kept, self.never)]
            error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0
            gains[split] = TrueGain(1 - ends[0] / ends[1], error)
        return gains

    @cached_property
    def never(self) -> list[dict[str, float]]:
        """Losses of the branches that never had a kernel, by repeat."""
        return [self._losses(repeat) for repeat in range(self.repeats)]

    def _losses(self, repeat: int, slot: str = "", blueprint: str = "") -> dict[str, float]:
        """Train a branch to its end and return its losses by split."""
        host = self.host((blueprint,) if blueprint else "standard")
        constant = self.event_epoch + CONSTANT_EPOCHS
        epochs = constant + DECAY_EPOCHS
        order = self.config.rng_seed + 1000 * (repeat + 1)
        task = self.task_of(order, epochs, constant / epochs)
        for epoch in range(self.event_epoch, epochs + 1):
            drawn = self.task if epoch == self.event_epoch else task
            drawn.train(host.model, host.optimizer, epoch)
            host.end_epoch()
            if blueprint and epoch == self.event_epoch:
                self._germinate(host, slot, blueprint)
            elif blueprint and epoch == self.event_epoch + 1:
                host.blend(slot, 0, 1.0, None, _WHY)
        model = host.model.eval()
        splits = {"val": self.data.val, "test": self.data.test}
        return {name: float(scores(model, split)[0].mean()) for name, split in splits.items()}

    def _germinate(self, host: Host, slot: str, blueprint: str) -> None:
        kernel = build_kernel(host.request(slot, 0, blueprint, self.config.rng_seed))
        change = SeedChange(action=Action.GERMINATE, seed=0, blueprint=blueprint, alpha_target=1.0)
        plan = Plan(slot=slot, kind="experiment", changes=(change,), reasoning=_WHY)
        metrics = EpochMetrics(
            epoch=self.event_epoch, global_step=host.global_step, val_loss=0.0, val_accuracy=None
        )
        apply(host, plan, {(0, blueprint): kernel}, metrics, event=0)
