"""Run one growth task through `Grower`, epoch by epoch, and measure what came of it.

loss     mean over the test samples of -ln((1 - MIXED) p + MIXED / classes), p the probability
         of the true class; so that neither one sample nor a perfect network decides alone
gain     ln(loss of the never-grown run / loss)
net gain gain - price * log2(FLOPs of the network / FLOPs of the host)
"""

import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from esper.contracts.stage import SeedStage
from esper.contracts.step import StepReport
from esper.data.base import DataSet, Split
from esper.grower.checks import StepInputs
from esper.grower.grower import Grower
from esper.policy.base import PolicyOption
from esper.run.episodes.data import load
from esper.run.episodes.hosts import build_host
from esper.run.episodes.task import BATCH_SIZE, STEPS_PER_EPOCH, EpisodeTask
from esper.run.task import Task, scores
from esper.safety.options import Safety
from esper.training.optimizer import build_optimizer
from esper.training.options import Training

GrowerKind = TypeVar("GrowerKind", bound=Grower)

MIXED = 0.1
"""Share of the uniform distribution in the predictions whose loss is measured."""

MAX_COST = 4.0
"""`safety.max_cost` of an episode: its events are limited, not the cost of their trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeResult:
    """The end of an episode.

    loss: of the network that the run reads out, on the test split; see the module.
    flops: forward FLOPs a sample of that network, relative to those of the host.
    train_flops: FLOPs of the whole run, trials included, relative to those of the host's training.
    events: growth events; kept, culled: number of kernels.
    processor_s: processor seconds of the run.
    """

    index: int
    rng_seed: int
    loss: float
    accuracy: float
    flops: float
    train_flops: float
    events: int
    kept: int
    culled: int
    processor_s: float


class Episode:
    """A growth run of a task; `options` are those of `Grower`.

    The host, the data and their order depend on the task and on `rng_seed` only, so that runs with
    different policies can be compared.
    """

    def __init__(self, task: EpisodeTask, rng_seed: int, **options: Any) -> None:
        self._began_s = time.process_time()
        self.task, self.rng_seed = task, rng_seed
        self._run = run_of(task, rng_seed)
        self.data = self._run.data
        self.grower = grower_of(task, self._run, Grower, **options)
        self.flops = 0.0

    @property
    def is_over(self) -> bool:
        """Whether all epochs are trained."""
        return self.grower.epoch >= self.task.epochs

    def step(self) -> StepReport:
        """Train an epoch and take the control step; return its report."""
        return self.act(self.observe())

    def observe(self) -> StepReport:
        """Train an epoch, and take the control step up to what a policy sees; `act` must follow."""
        run, host = self._run, self.grower.host
        trained = run.train(host.model, host.optimizer, self.grower.epoch + 1)
        given = StepInputs(run.evaluate, trained=trained, loss=run.loss, probe=run.probe)
        seen = self.grower.observe(given)
        self.flops += seen.flops
        return seen

    def act(self, seen: StepReport) -> StepReport:
        """Let the policy decide, and take the rest of the control step; return its report."""
        return self.grower.act(seen, self._run.loss)

    def finish(self) -> EpisodeResult:
        """Train the epochs that are left, read the network out and test it."""
        while not self.is_over:
            self.step()
        grower = self.grower
        grower.read_out()
        grower.host.model.eval()
        tested = mixed_loss(grower.host.model, self.data.test, self.task.classes)
        return result_of(
            self.task, self._run, grower, self.flops, tested, time.process_time() - self._began_s
        )


def run_episode(task: EpisodeTask, rng_seed: int, policy: PolicyOption) -> EpisodeResult:
    """Return the result of a whole episode; a function for `parallel.run_each`."""
    return Episode(task, rng_seed, policy=policy).finish()


def run_of(task: EpisodeTask, rng_seed: int, data: DataSet | None = None) -> Task:
    """Return data, training and budget of an episode; `data` are those of the task, if loaded."""
    training = Training(lr=task.learning_rate, steps_per_epoch=STEPS_PER_EPOCH)
    return Task(data or load(task), BATCH_SIZE, training, task.epochs, rng_seed)


def grower_of(task: EpisodeTask, run: Task, kind: type[GrowerKind], **options: Any) -> GrowerKind:
    """Return a grower, of some kind, of the untrained host of a task."""
    host = build_host(task, run.rng_seed)
    safety = options.pop("safety", Safety(max_events=task.events, max_cost=MAX_COST))
    return kind(
        host,
        build_optimizer(host, run.training),
        example_input=run.data.train.x[:4],
        epochs=task.epochs,
        rng_seed=run.rng_seed,
        slots=slot_names(task),
        placement="parallel",
        chance_loss=math.log(task.classes),
        safety=safety,
        **options,
    )


def result_of(
    task: EpisodeTask,
    run: Task,
    grower: Grower,
    flops: float,
    tested: tuple[float, float],
    processor_s: float,
) -> EpisodeResult:
    """Close a grower whose network was read out; return the result of its episode.

    Args:
        task, run, grower: the episode.
        flops: of its training, trials included.
        tested: loss and accuracy on the test split.
        processor_s: processor seconds that it took.
    """
    host, seeds = grower.host, list(grower.host.seeds())
    grower.close()
    kept = sum(seed.stage is SeedStage.FOSSILIZED for seed in seeds)
    return EpisodeResult(
        index=task.index,
        rng_seed=run.rng_seed,
        loss=tested[0],
        accuracy=tested[1],
        flops=host.settled_flops / host.base_flops,
        train_flops=flops / (host.base_flops * run.num_samples * task.epochs),
        events=grower.trials.num_events,
        kept=kept,
        culled=sum(seed.activations for seed in seeds) - kept,
        processor_s=processor_s,
    )


def slot_names(task: EpisodeTask) -> tuple[str, ...]:
    """Return the paths of the slots of a task's host, in order."""
    return tuple(f"blocks.{place}" for place in range(task.num_slots))


def mixed_loss(model: nn.Module, split: Split, classes: int) -> tuple[float, float]:
    """Return the loss of mixed predictions, see the module, and the accuracy in [0, 1]."""
    return mixed(*scores(model, split), classes)


def mixed(losses_N: Tensor, hits_N: Tensor, classes: int) -> tuple[float, float]:
    """Return loss and accuracy, as `mixed_loss`, from the losses and hits of test samples."""
    probability_N = (1 - MIXED) * torch.exp(-losses_N) + MIXED / classes
    return float(-torch.log(probability_N).mean()), float(hits_N.mean())


def net_gain(result: EpisodeResult, never: EpisodeResult, price: float) -> float:
    """Return the net gain of a run over the never-grown one of the same task and seed."""
    return math.log(never.loss / result.loss) - price * math.log2(result.flops / never.flops)
