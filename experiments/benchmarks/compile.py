"""Compare a training step with compiled kernels (`kernels.compile`) to one with eager kernels.

Both networks take turns in one process, on the same batch, from the same weights.  Times are
processor time, including child processes, so that other work on the machine does not count.  The
cache of torch's compiler is empty at the start.
"""

import os
import resource
import statistics
import time
from dataclasses import replace
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch

from esper.data.digits import Digits
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.growth.requests import held_kernels
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.model.cnn import CNN
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.growing import grow, optimizer_of
from experiments.benchmarks.steps import step

SIDE, BATCH, ROUNDS = 32, 32, 15
CASES = (((64, 128), "mlp", 1), ((64, 128), "mlp", 3), ((64, 128), "convnext", 2))
"""Channels of the two blocks, blueprint and number of live kernels."""

GOAL = 1 / 1.05
"""Compiling must make a step 1.05 times as fast to be worth an option."""


def compiled() -> list[Figure]:
    """Return the time of a step with compiled kernels over that with eager ones, for each case."""
    return [_compiled(*case) for case in CASES]


def _compiled(channels: tuple[int, ...], blueprint: str, num_seeds: int) -> Figure:
    eager, fast = (_host(channels, blueprint, num_seeds) for _ in range(2))
    pipeline = KernelPipeline(Kernels(compile=True), 0)
    began = _processor_s()
    with TemporaryDirectory() as folder, patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder):
        pipeline.compile(held_kernels(fast, 0))
    compile_s = _processor_s() - began
    assert not pipeline.drain(), "the kernels can be compiled"
    order = torch.Generator().manual_seed(0)
    x_BCHW = torch.randn((BATCH, 3, SIDE, SIDE), generator=order)
    y_B = torch.randint(0, 10, (BATCH,), generator=order)
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(-2, ROUNDS):
        for is_fast in (number % 2 == 0, number % 2 != 0):
            host = fast if is_fast else eager
            began = _processor_s()
            step(host.model, host.optimizer, x_BCHW, y_B)
            if number >= 0:
                times[is_fast].append(_processor_s() - began)
    eager_s, fast_s = (statistics.median(times[is_fast]) for is_fast in (False, True))
    pays = f"{compile_s / (eager_s - fast_s):.0f} steps" if fast_s < eager_s else "no steps"
    name = f"compile/{'x'.join(map(str, channels))}/{blueprint}/{num_seeds}"
    return Figure(
        name=name,
        value=fast_s / eager_s,
        unit="x",
        goal=GOAL,
        reference=f"eager kernels, {eager_s * 1e3:.0f} ms of processor time on images of "
        f"{SIDE}x{SIDE}; compiling takes {compile_s:.1f} s, which {pays} save",
    )


def _host(channels: tuple[int, ...], blueprint: str, num_seeds: int) -> Host:
    """Return a network of two blocks with blended kernels."""
    torch.manual_seed(0)
    spec = replace(Digits().load().spec, input_shape=(3, SIDE, SIDE))
    model = CNN(channels=channels).build(spec).train()
    example = torch.zeros(2, 3, SIDE, SIDE)
    host = prepare(model, optimizer_of(model), example, HostSetup(selection=(blueprint,)))
    grow(host, num_seeds)
    return host


def _processor_s() -> float:
    """Return the processor time of this process and its ended children, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
