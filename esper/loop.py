"""The epochs: train, evaluate, let the grower step, tell people."""

import hashlib
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.errors import InterruptionError
from esper.contracts.metrics import TrainReport
from esper.contracts.report import StepReport
from esper.contracts.stage import SeedStage
from esper.data.base import DataSet, Split
from esper.data.batches import batches
from esper.grower import Grower
from esper.growth.groups import kernel_groups
from esper.keeping import Keeping
from esper.stopping import Stop
from esper.telemetry.bus import EventBus
from esper.training.epoch import Epoch, Progress
from esper.training.objective import mean_loss, sample_hits, sample_losses
from esper.training.options import Training

EVALUATION_BATCH = 1024
PROBE_BATCH = 256
_QUIET = frozenset({SeedStage.DORMANT, SeedStage.EMBARGOED})


@dataclass(frozen=True)
class Task:
    """What is trained on, how, for how long, and from which seed of randomness."""

    data: DataSet
    batch_size: int
    training: Training
    epochs: int
    rng_seed: int

    @property
    def num_steps(self) -> int:
        """Optimizer steps an epoch."""
        whole = -(-len(self.data.train) // self.batch_size)
        return self.training.steps_per_epoch or whole

    def train(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> TrainReport:
        """Train one epoch; the same epoch has the same batches for every model."""
        report = self.train_on(model, optimizer, epoch, Progress(), Stop())
        assert report is not None, "nobody could ask it to pause"
        return report

    def train_on(
        self, model: nn.Module, optimizer: Optimizer, epoch: int, progress: Progress, stop: Stop
    ) -> TrainReport | None:
        """Train what is left of an epoch; None when it was asked to stop before its end.

        An epoch that goes on finds torch's generator where the step before left it.
        """
        seed = _epoch_seed(self.rng_seed, epoch)
        if not progress.num_steps:
            torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        drawn = batches(self.data.train, self.batch_size, generator, self.training.steps_per_epoch)
        left = islice(drawn, progress.num_steps, None)
        plan = Epoch(self.training, epoch, self.epochs, self.num_steps)
        return plan.train(model, optimizer, left, progress, lambda: stop.is_asked)

    def loss(self, model: nn.Module) -> Tensor:
        """Return the mean loss on the first training samples, with its graph."""
        part = self.data.train
        return mean_loss(model(part.x[:PROBE_BATCH]), part.y[:PROBE_BATCH])

    def evaluate(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Return losses and hits (N,) on the decision-validation split."""
        return scores(model, self.data.val)


def scores(model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
    """Return the losses and hits (N,) of every sample of a split."""
    losses, hits = [], []
    with torch.no_grad():
        for x, y in batches(split, EVALUATION_BATCH):
            logits = model(x)
            losses.append(sample_losses(logits, y))
            hits.append(sample_hits(logits, y))
    return torch.cat(losses), torch.cat(hits)


def _epoch_seed(rng_seed: int, epoch: int) -> int:
    digest = hashlib.blake2b(f"{rng_seed}/epoch/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def run_epochs(
    task: Task, grower: Grower, bus: EventBus, keeping: Keeping, stop: Stop
) -> list[dict[str, Any]]:
    """Train for what is left of the budget and return the lines of `metrics.jsonl`.

    Raises:
        InterruptionError: when it was asked to stop; where it stood was saved.
    """
    told_ms = 0.0
    for epoch in range(grower.epoch + 1, task.epochs + 1):
        began = time.perf_counter()
        progress = keeping.progress()
        busy_before_ms = progress.busy_ms
        trained = task.train_on(grower.host.model, grower.host.optimizer, epoch, progress, stop)
        if trained is None:
            keeping.save(progress)
            raise InterruptionError(keeping.farewell(stop))
        # Steps taken by the twins listen to hosts of their own: this counts the network's alone.
        step = grower.step(
            task.evaluate,
            lambda model, optimizer: task.train(model, optimizer, epoch),  # noqa: B023
            trained=trained,
            loss=task.loss,
        )
        total_ms = (time.perf_counter() - began) * 1e3
        assert trained.busy_ms is not None, "the task measures it"
        busy_ms = trained.busy_ms - busy_before_ms + step.evaluation_ms + step.attribution_ms
        # Telling of an epoch is part of its control, but only known once its line is written.
        line = metrics_line(grower, step, trained, told_ms + total_ms - busy_ms)
        # The line is written first: what a checkpoint holds must be told of before it counts.
        line["checkpoint_ms"] = keeping.spent_ms()
        began = time.perf_counter()
        bus.epoch(line)
        told_ms = (time.perf_counter() - began) * 1e3
        keeping.epoch(line, step.moves)
        if stop.is_asked and epoch < task.epochs:
            raise InterruptionError(keeping.farewell(stop))
    return keeping.lines


def metrics_line(
    grower: Grower, step: StepReport, trained: TrainReport, control_ms: float
) -> dict[str, Any]:
    """Return one line of `metrics.jsonl`; None is unknown."""
    metrics, host = step.metrics, grower.host
    kernels = kernel_groups(host.optimizer)
    num_steps = trained.num_steps or 1
    return {
        "epoch": metrics.epoch,
        "train_loss": metrics.train_loss,
        "val_loss": metrics.val_loss,
        "train_accuracy": metrics.train_accuracy,
        "val_accuracy": metrics.val_accuracy,
        "params": host.num_parameters,
        "live_seeds": sum(1 for seed in host.seeds() if seed.state(metrics.epoch).is_live),
        "flops": step.flops,
        "learning_rate": trained.learning_rate,
        "step_ms": None if trained.busy_ms is None else trained.busy_ms / num_steps,
        "train_ms": trained.busy_ms,
        "evaluation_ms": step.evaluation_ms,
        "control_ms": control_ms,
        "attribution_ms": step.attribution_ms,
        "seeds": [
            {
                "slot": seed.slot,
                "seed": seed.index,
                "blueprint": seed.bound,
                "stage": str(seed.stage),
                "alpha": seed.alpha,
                "learning_rate": kernels.get((seed.slot, seed.index), {}).get("lr"),
                "ablation": None if seed.life is None else seed.life.ablation,
                "gain": None if seed.life is None else seed.life.gain,
            }
            for seed in host.seeds()
            if seed.stage not in _QUIET
        ],
    }
