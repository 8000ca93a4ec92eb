"""Score how well a slot's kernels work, and name the slots with a problem.

    score = 0.4 * max(0, 1 - latency / 10 ms) + 0.4 * max(0, 1 - 5 * error rate)
            + 0.2 * cache hit rate

A part that was not measured is left out, and the weights of the others are scaled up to 1: what is
unknown counts neither for a slot nor against it.

The score of all three parts is for people alone.  What steers a run, `has_problem`, rests on the
errors: latencies are read from a clock, a resumed run starts with an empty cache, and a kernel that
always fails, but quickly, would still score 0.4.
"""

from esper.contracts.slot import SeedState, SlotState

PROBLEM = 0.3
"""A slot has a problem if the errors of one of its kernels score less."""
SLOW_MS = 10.0
"""Latency from which its part is 0."""
ERROR_FACTOR = 5.0
"""The part of the errors is 0 from an error rate of 1 over this."""


def health_score(
    *,
    latency_ms: float | None = None,
    error_rate: float | None = None,
    cache_hit_rate: float | None = None,
) -> float | None:
    """Return the score in [0, 1]; None if nothing was measured.

    Args:
        latency_ms: of a warm call of the kernel in its slot, >= 0.
        error_rate: as `SeedHealth.error_rate`, in [0, 1].
        cache_hit_rate: share of the slot's kernels whose validation was known already.
    """
    total = weights = 0.0
    if latency_ms is not None:
        total, weights = total + 0.4 * max(0.0, 1 - latency_ms / SLOW_MS), weights + 0.4
    if error_rate is not None:
        total, weights = total + 0.4 * max(0.0, 1 - ERROR_FACTOR * error_rate), weights + 0.4
    if cache_hit_rate is not None:
        total, weights = total + 0.2 * cache_hit_rate, weights + 0.2
    return total / weights if weights else None


def has_problem(error_rate: float | None) -> bool:
    """Return whether the errors alone score below `PROBLEM`; unknown is no problem."""
    score = health_score(error_rate=error_rate)
    return score is not None and score < PROBLEM


def find_problem(slot: SlotState) -> SeedState | None:
    """Return the seed whose kernel makes its slot a problem slot, the worst one; None without."""
    seeds = [seed for seed in slot.seeds if has_problem(seed.error_rate)]
    return max(seeds, key=lambda seed: seed.error_rate or 0.0, default=None)
