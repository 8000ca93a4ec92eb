"""Work that is always the same, to tell a process that slows down from a machine that does."""

import gc
import time
from dataclasses import dataclass

import torch
from torch import nn

STEPS, SAMPLES, FEATURES = 250, 16, 4


@dataclass(frozen=True, slots=True)
class Span:
    """What work took, in milliseconds of the clock and of this process's processors."""

    wall_ms: float
    cpu_ms: float


def yardstick() -> Span:
    """Train a tiny network anew, without Esper; return what that took.

    Nothing is collected meanwhile, so that what others left in the process does not count.
    """
    was_on = gc.isenabled()
    gc.disable()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        with torch.random.fork_rng(devices=[]):
            _train()
        return Span((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3)
    finally:
        if was_on:
            gc.enable()


def _train() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh(), nn.Linear(FEATURES, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(SAMPLES, FEATURES), torch.randint(2, (SAMPLES,))
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
