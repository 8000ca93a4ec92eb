"""Figures of health signals: how fast they pass the filter and the buffer.

Signals arrive in bursts of 1,000, as if from so many kernels at the end of an epoch.  Each burst is
filtered, buffered and taken out again.  In the second stream every signal is an error, so that none
is left out.
"""

import gc
from collections.abc import Sequence
from random import Random
from time import perf_counter

from esper.contracts.event import SeedHealth
from esper.signals.filter import Priority, SignalFilter
from esper.signals.priority_buffer import BATCH, PriorityBuffer
from experiments.benchmarks.figure import Figure

NUM_SIGNALS = 1_000_000
NUM_KERNELS = 100_000
MOST_US = 5.0
"""200,000 signals a second."""
MOST_MS = 5.0


def signals(num_signals: int = NUM_SIGNALS) -> list[Figure]:
    """Return time and delay of a signal, of a healthy stream and of one that is all errors."""
    rng = Random(0)
    streams = {
        "healthy": [_signal(rng, rng.choice([0.0, 0.0, 0.0, None])) for _ in range(NUM_KERNELS)],
        "failing": [_signal(rng, 0.5) for _ in range(NUM_KERNELS)],
    }
    return [f for name, stream in streams.items() for f in _measured(name, stream, num_signals)]


def _signal(rng: Random, error_rate: float | None) -> SeedHealth:
    return SeedHealth(
        slot="block1",
        seed=0,
        blueprint="mlp",
        gradient_norm=rng.lognormvariate(0.0, 1.0),
        finite=True,
        error_rate=error_rate,
        is_ready=rng.random() < 0.2,
    )


def _measured(name: str, stream: Sequence[SeedHealth], num_signals: int) -> list[Figure]:
    chosen, buffer = SignalFilter(), PriorityBuffer[SeedHealth](Priority)
    delays: list[float] = []
    num_told, num_bursts = 0, num_signals // BATCH
    gc.collect()
    began = perf_counter()
    for burst in range(num_bursts):
        start = burst * BATCH % len(stream)
        arrived = []
        for signal in stream[start : start + BATCH]:
            arrived.append(perf_counter())
            priority = chosen.priority(signal)
            if priority is not None:
                buffer.put(signal, priority)
        num_told += len(buffer.take())
        left = perf_counter()
        delays += [left - since for since in arrived]
    seconds = perf_counter() - began
    assert len(buffer) + buffer.dropped == 0, "each burst is taken out whole"
    delays.sort()
    total = num_bursts * BATCH
    reference = f"{total:,} signals in bursts of {BATCH:,}, {num_told / total:.0%} told"
    return [
        Figure(
            name=f"signals/{name}_time",
            value=seconds / total * 1e6,
            unit="us",
            goal=MOST_US,
            reference=f"{reference}: {total / seconds:,.0f} a second",
        ),
        Figure(
            name=f"signals/{name}_delay_p99",
            value=delays[int(0.99 * total)] * 1e3,
            unit="ms",
            goal=MOST_MS,
            reference=f"{reference}, until the burst is out",
        ),
    ]
