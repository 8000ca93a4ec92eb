"""Figures of the kernel pipeline: answers to random requests, and its share of a run's time."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import torch

from esper.data.digits import Digits
from esper.grower.grower import Grower
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.kernels.request import Request
from esper.logger.bus import EventBus
from esper.model.cnn import CNN
from esper.run.task import Task
from esper.training.optimizer import build_optimizer
from esper.training.options import Training
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.kernel_requests import SLOT, Case, draw, wrong_blueprints

NUM_REQUESTS = 10_000
EPOCHS = 40
FROM_CACHE_MS, WORK_SHARE, LOST_SHARE = 5.0, 0.01, 0.01


@dataclass
class Tally:
    """Counts of requests and of wrong answers.

    lost: valid requests that were refused.
    let_through: invalid requests that were not refused, or not with the right reason.
    cached_ms: times of the requests for which the result of a probe was cached.
    """

    valid: int = 0
    invalid: int = 0
    lost: int = 0
    let_through: int = 0
    cached_ms: list[float] = field(default_factory=list)


class TimedPipeline(KernelPipeline):
    """A pipeline that adds up the milliseconds of its requests."""

    work_ms = 0.0

    def take(self, request: Request) -> Kernel:
        """Return the kernel for a request."""
        began = time.perf_counter()
        try:
            return super().take(request)
        finally:
            self.work_ms += (time.perf_counter() - began) * 1e3


def kernels() -> list[Figure]:
    """Return all figures of the pipeline."""
    return [*requested(), work_share()]


def requested(num_requests: int = NUM_REQUESTS) -> list[Figure]:
    """Return the figures of random requests, each of which is made twice."""
    rng, tally = Random(0), Tally()
    pipeline = KernelPipeline(Kernels(), 0)
    with wrong_blueprints():
        for _ in range(num_requests):
            case = draw(rng)
            for _ in range(2):
                _ask(pipeline, case, tally)
    assert tally.cached_ms, "results of probes are cached"
    reference = f"{tally.valid // 2} valid, {tally.invalid // 2} invalid, twice"
    return [
        Figure(
            name="kernels/valid_lost",
            value=tally.lost / tally.valid,
            unit="of 1",
            goal=LOST_SHARE,
            reference=reference,
        ),
        Figure(
            name="kernels/invalid_not_refused",
            value=tally.let_through,
            unit="requests",
            goal=0.0,
            reference=reference,
        ),
        Figure(
            name="kernels/from_cache",
            value=statistics.median(tally.cached_ms),
            unit="ms",
            goal=FROM_CACHE_MS,
            reference=f"{len(tally.cached_ms)} kernels",
        ),
    ]


def _ask(pipeline: KernelPipeline, case: Case, tally: Tally) -> None:
    valid = case.reason is None
    tally.valid += valid
    tally.invalid += not valid
    try:
        kernel = pipeline.take(case.host.request(SLOT, 0, case.blueprint, 0))
    except KernelError as error:
        tally.lost += valid
        tally.let_through += case.reason is not None and case.reason not in str(error)
        return
    tally.let_through += not valid
    if kernel.work.validate_ms is None:
        tally.cached_ms.append(kernel.work.wait_ms)


def work_share(epochs: int = EPOCHS) -> Figure:
    """Return the share of a default run's time that the pipeline takes, with a cold cache."""
    data, training = Digits().load(), Training()
    torch.manual_seed(0)
    model = CNN().build(data.spec)
    grower = Grower(
        model,
        build_optimizer(model, training),
        example_input=data.train.x[:4],
        epochs=epochs,
        bus=EventBus(),
    )
    pipeline = TimedPipeline(Kernels(), 0)
    grower.candidates.pipeline = grower.adapter.pipeline = pipeline
    task = Task(data, Digits().batch_size, training, epochs, 0)
    began = time.perf_counter()
    for epoch in range(1, epochs + 1):
        given = task.train(grower.host.model, grower.host.optimizer, epoch)
        grower.step(task.evaluate, _again(task, epoch), trained=given, loss=task.loss)
    span_ms = (time.perf_counter() - began) * 1e3
    grower.close()
    return Figure(
        name="kernels/work_share",
        value=pipeline.work_ms / span_ms,
        unit="of the run",
        goal=WORK_SHARE,
        reference=f"{pipeline.work_ms:.0f} ms in {span_ms / 1e3:.1f} s, cold cache",
    )


def _again(task: Task, epoch: int) -> Callable[..., object]:
    return lambda model, optimizer: task.train(model, optimizer, epoch)
