"""The task of a run: training steps of an epoch, loss, scores on the decision-validation split."""

import hashlib
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.data.base import DataSet, Split
from esper.data.batches import batches
from esper.probe.rng_state import seed_torch
from esper.run.interrupt import Interrupt
from esper.training.epoch import Epoch, Progress
from esper.training.objective import mean_loss, sample_hits, sample_losses
from esper.training.options import Training

EVALUATION_BATCH = 1024
RANKING_BATCH = 256
PROBE_BATCH = 96


@dataclass(frozen=True)
class Task:
    """Data, options of training, budget (epochs) and seed of a run."""

    data: DataSet
    batch_size: int
    training: Training
    epochs: int
    rng_seed: int

    @property
    def num_steps(self) -> int:
        """Number of optimizer steps in an epoch."""
        return self.training.steps_per_epoch or -(-len(self.data.train) // self.batch_size)

    @property
    def num_samples(self) -> int:
        """Number of samples that an epoch trains on, repeated ones counted each time."""
        each_pass = -(-len(self.data.train) // self.batch_size)
        passes, rest = divmod(self.num_steps, each_pass)
        return passes * len(self.data.train) + rest * self.batch_size

    def train(self, model: nn.Module, optimizer: Optimizer, epoch: int) -> TrainReport:
        """Train one epoch, on the same batches for every model."""
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
        """Train the rest of an epoch, from `progress` on; return None if interrupted.

        Torch's generator is seeded at the first step of an epoch, not when the epoch is resumed.
        """
        seed = epoch_seed(self.rng_seed, epoch)
        if not progress.num_steps:
            seed_torch(seed)
        generator = torch.Generator().manual_seed(seed)
        drawn = batches(self.data.train, self.batch_size, generator, self.training.steps_per_epoch)
        rest = islice(drawn, progress.num_steps, None)
        trainer = Epoch(self.training, epoch, self.epochs, self.num_steps)
        return trainer.train(model, optimizer, rest, progress, lambda: interrupt.is_requested)

    def loss(self, model: nn.Module) -> Tensor:
        """Return the mean loss on the first training samples, differentiable."""
        train = self.data.train
        return mean_loss(model(train.x[:RANKING_BATCH]), train.y[:RANKING_BATCH])

    def probe(self, model: nn.Module) -> Tensor:
        """Return the losses (N,) of the first training samples, differentiable."""
        train = self.data.train
        return sample_losses(model(train.x[:PROBE_BATCH]), train.y[:PROBE_BATCH])

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


def epoch_seed(rng_seed: int, epoch: int) -> int:
    """Return the seed of the order of an epoch's batches, in [0, 2^63)."""
    digest = hashlib.blake2b(f"{rng_seed}/epoch/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
