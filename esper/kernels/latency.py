"""Time the calls of one slot's kernels, named by the index of their seed."""

import statistics
from collections import deque

WINDOW = 20
"""Number of last calls that a latency is the median of."""
LEAST = 3
"""Number of calls from which the median is that of a warm one."""


class Latencies:
    """The times of the last calls of each kernel, in ms."""

    def __init__(self) -> None:
        self._times: dict[int, deque[float]] = {}

    def add(self, seed: int, latency_ms: float) -> None:
        """Add the time of one call."""
        self._times.setdefault(seed, deque(maxlen=WINDOW)).append(latency_ms)

    def median(self, seed: int) -> float | None:
        """Return the median time of the last calls in ms, None if there were too few."""
        times = self._times.get(seed, ())
        return statistics.median(times) if len(times) >= LEAST else None

    def forget(self, seed: int) -> None:
        """Remove the times of a kernel that leaves the slot."""
        self._times.pop(seed, None)
