"""The kernel pipeline: random requests, what it takes of a run, and what training feels of it."""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch

from esper.data.digits import Digits
from esper.grower.grower import Grower
from esper.growth.host import Host
from esper.kernels.kernel import KernelError
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.logger.bus import EventBus
from esper.model.cnn import CNN
from esper.run.task import Task
from esper.training.optimizer import build_optimizer
from esper.training.options import Training
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.growing import bench_of, host_of
from experiments.benchmarks.kernel_requests import SLOT, Asked, draw, wrong_blueprints
from experiments.benchmarks.steps import trained

NUM_REQUESTS = 10_000
ROUNDS = 20
EPOCHS = 40
FROM_CACHE_MS, WORK_SHARE, STEP_RATIO, LOST_SHARE = 5.0, 0.01, 1.05, 0.01
MEMORY_ENTRIES = 256
"""Fewer than there are kinds of kernels: the disk is read too."""


@dataclass
class Tally:
    """What became of requests.

    lost: ones that can be had and were not.
    let_through: ones that cannot be had and were not refused, or without the reason.
    cached_ms: how long each took whose verdict was known.
    """

    valid: int = 0
    invalid: int = 0
    lost: int = 0
    let_through: int = 0
    cached_ms: list[float] | None = None


def kernels() -> list[Figure]:
    """Return all figures of the pipeline."""
    return [*requested(), work_share(), step_ratio()]


def requested(num_requests: int = NUM_REQUESTS) -> list[Figure]:
    """Return what becomes of random requests: when they are new, and when they come again."""
    rng = Random(0)
    with wrong_blueprints(), tempfile.TemporaryDirectory() as folder:
        asked = [draw(rng) for _ in range(num_requests)]
        options = Kernels(ahead=False, cache_dir=folder, memory_entries=MEMORY_ENTRIES, disk_mb=256)
        first = _ask(KernelPipeline(options, 0), asked)
        again = _ask(KernelPipeline(options, 0), asked)
    assert again.cached_ms, "verdicts are remembered"
    told = f"{first.valid} that can be had, {first.invalid} that cannot, twice"
    return [
        Figure(
            name="kernels/valid_lost",
            value=max(tally.lost / tally.valid for tally in (first, again)),
            unit="of 1",
            goal=LOST_SHARE,
            reference=told,
        ),
        Figure(
            name="kernels/invalid_not_refused",
            value=first.let_through + again.let_through,
            unit="requests",
            goal=0.0,
            reference=told,
        ),
        Figure(
            name="kernels/from_cache",
            value=statistics.median(again.cached_ms),
            unit="ms",
            goal=FROM_CACHE_MS,
            reference=f"{len(again.cached_ms)} kernels, the verdicts on all but the last "
            f"{MEMORY_ENTRIES} kinds from disk",
        ),
    ]


def _ask(pipeline: KernelPipeline, asked: list[Asked]) -> Tally:
    tally = Tally(cached_ms=[])
    for each in asked:
        valid = each.reason is None
        tally.valid += valid
        tally.invalid += not valid
        try:
            work = pipeline.take(each.host, SLOT, 0, each.blueprint).work
        except KernelError as error:
            tally.lost += valid
            tally.let_through += each.reason is not None and each.reason not in str(error)
            continue
        tally.let_through += not valid
        if work.validate_ms is None and tally.cached_ms is not None:
            tally.cached_ms.append(work.wait_ms)
    pipeline.close()
    return tally


def work_share(epochs: int = EPOCHS) -> Figure:
    """Return the share of the default run's time that kernels take, none of them known before."""
    data, training = Digits().load(), Training()
    torch.manual_seed(0)
    model = CNN().build(data.spec)
    grower = Grower(
        model,
        build_optimizer(model, training),
        example_input=data.train.x[:4],
        epochs=epochs,
        bus=EventBus(),
        kernels=Kernels(disk_mb=0),
    )
    task = Task(data, Digits().batch_size, training, epochs, 0)
    began = time.perf_counter()
    for epoch in range(1, epochs + 1):
        given = task.train(grower.host.model, grower.host.optimizer, epoch)
        grower.step(task.evaluate, _again(task, epoch), trained=given, loss=task.loss)
    span_ms = (time.perf_counter() - began) * 1e3
    grower.close()
    work_ms = grower.adapter.pipeline.work_ms
    return Figure(
        name="kernels/work_share",
        value=work_ms / span_ms,
        unit="of the run",
        goal=WORK_SHARE,
        reference=f"{work_ms:.0f} ms of processor time in {span_ms / 1e3:.1f} s, no cache",
    )


def _again(task: Task, epoch: int) -> Callable[..., object]:
    return lambda model, optimizer: task.train(model, optimizer, epoch)


def step_ratio(rounds: int = ROUNDS) -> Figure:
    """Return the mean time of a training step while kernels are made, over when none are.

    Every kernel is validated: nothing is remembered.  In each round as many steps are timed before
    kernels are made, and after, as while they are; the figure is the median over the rounds.  The
    control compares after with before, between which there is no difference but the machine's.
    """
    bench = bench_of("cnn")
    host = host_of(bench.bare, bench.example)
    train = trained(host.model, host.optimizer, bench)
    ratios: list[float] = []
    controls: list[float] = []
    spans: list[float] = []
    num_steps = len(_while_made(host, train))
    for _ in range(rounds):
        before = [_timed(train, number) for number in range(num_steps)]
        busy = _while_made(host, train)
        after = [_timed(train, number) for number in range(num_steps)]
        ratios.append(statistics.mean(busy) / statistics.mean([*before, *after]))
        controls.append(statistics.mean(after) / statistics.mean(before))
        spans += before
    return Figure(
        name="kernels/step_while_made",
        value=statistics.median(ratios),
        unit="x",
        goal=STEP_RATIO,
        reference=f"{statistics.mean(spans):.3g} ms while none is, {len(spans)} steps of each; "
        f"{min(ratios):.3f} to {max(ratios):.3f}; control {statistics.median(controls):.3f}, "
        f"{min(controls):.3f} to {max(controls):.3f}",
    )


def _while_made(host: Host, train: Callable[[int], None]) -> list[float]:
    """Return the milliseconds of every step that is taken while kernels are made."""
    pipeline = KernelPipeline(Kernels(memory_entries=0, disk_mb=0), 0)
    pipeline.ahead(host, may_grow=True)
    busy: list[float] = []
    while pipeline.is_busy:
        busy.append(_timed(train, len(busy)))
    pipeline.close()
    return busy


def _timed(train: Callable[[int], None], number: int) -> float:
    began = time.perf_counter()
    train(number)
    return (time.perf_counter() - began) * 1e3
