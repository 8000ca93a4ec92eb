"""What a run trains: batches of an epoch, losses, scores on the decision-validation split."""

import hashlib
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.data.base import DataSet, Split
from esper.data.batches import batches
from esper.run.interrupt import Interrupt
from esper.training.epoch import Epoch, Progress
from esper.training.objective import mean_loss, sample_hits, sample_losses
from esper.training.options import Training

EVALUATION_BATCH = 1024
PROBE_BATCH = 256


@dataclass(frozen=True)
class Task:
    """The data that a run trains on, the options of training, its budget and its seed."""

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
        report = self.train_on(model, optimizer, epoch, Progress(), Interrupt())
        assert report is not None, "no signal can request this interrupt"
        return report

    def train_on(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        epoch: int,
        progress: Progress,
        interrupt: Interrupt,
    ) -> TrainReport | None:
        """Train the steps of an epoch that `progress` lacks; None if interrupted before its end.

        The first step seeds torch's generator; an epoch that is resumed leaves it as it is.
        """
        seed = _epoch_seed(self.rng_seed, epoch)
        if not progress.num_steps:
            torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        drawn = batches(self.data.train, self.batch_size, generator, self.training.steps_per_epoch)
        left = islice(drawn, progress.num_steps, None)
        plan = Epoch(self.training, epoch, self.epochs, self.num_steps)
        return plan.train(model, optimizer, left, progress, lambda: interrupt.is_requested)

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
