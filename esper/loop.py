"""The epochs: train, evaluate, let the grower step, tell people."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.contracts.stage import SeedStage
from esper.data.base import DataSet, Split
from esper.data.batches import batches
from esper.grower import Grower, StepReport
from esper.growth.groups import kernel_groups
from esper.telemetry.bus import EventBus
from esper.training.epoch import Epoch
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
        seed = _epoch_seed(self.rng_seed, epoch)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        drawn = batches(self.data.train, self.batch_size, generator, self.training.steps_per_epoch)
        plan = Epoch(self.training, epoch, self.epochs, self.num_steps)
        return plan.train(model, optimizer, drawn)

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


def run_epochs(task: Task, grower: Grower, bus: EventBus) -> list[dict[str, Any]]:
    """Train for the whole budget and return the lines of `metrics.jsonl`."""
    host = grower.host
    lines: list[dict[str, Any]] = []
    told_ms = 0.0
    for epoch in range(1, task.epochs + 1):
        began = time.perf_counter()
        trained = task.train(host.model, host.optimizer, epoch)
        # Steps taken by the twins listen to hosts of their own: this counts the network's alone.
        step = grower.step(
            task.evaluate,
            lambda model, optimizer: task.train(model, optimizer, epoch),  # noqa: B023
            trained=trained,
            loss=task.loss,
        )
        total_ms = (time.perf_counter() - began) * 1e3
        assert trained.busy_ms is not None, "the task measures it"
        # Telling of an epoch is part of its control, but only known once its line is written.
        control_ms = told_ms + total_ms - trained.busy_ms - step.evaluation_ms - step.attribution_ms
        lines.append(metrics_line(grower, step, trained, control_ms))
        began = time.perf_counter()
        bus.epoch(lines[-1])
        told_ms = (time.perf_counter() - began) * 1e3
    return lines


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
        "checkpoint_ms": 0.0,
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
