"""Time functions that take turns, so that other work of the machine affects all of them."""

import gc
import statistics
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter

MIN_ROUNDS = 10
Arm = Callable[[int], None]
"""Does its work once, given the number of the round."""


def side_by_side(
    make: Callable[[], Sequence[Arm]], *, seconds: float, copies: int = 5
) -> list[list[float]]:
    """Return the milliseconds of each arm in each round, measured for about `seconds` seconds.

    The arms are made `copies` times, because the place of its weights in memory can make one copy
    of a network 1 % slower than another.
    """
    taken = [take_turns(make(), seconds=seconds / copies) for _ in range(copies)]
    return [[span for times in arm for span in times] for arm in zip(*taken, strict=True)]


def take_turns(arms: Sequence[Arm], *, seconds: float, warm_up: int = 20) -> list[list[float]]:
    """Return the milliseconds of each arm in each round, measured for about `seconds` seconds.

    In each round every arm works once, in random order, so that each arm follows every other one
    equally often and finds the same caches.
    """
    times: list[list[float]] = [[] for _ in arms]
    order, rng = list(range(len(arms))), Random(0)
    for number in range(warm_up):
        for arm in arms:
            arm(number)
    gc.collect()
    gc.disable()
    try:
        number, ends = 0, perf_counter() + seconds
        while perf_counter() < ends or number < MIN_ROUNDS:
            rng.shuffle(order)
            for index in order:
                began = perf_counter()
                arms[index](number)
                times[index].append((perf_counter() - began) * 1e3)
            number += 1
    finally:
        gc.enable()
    return times


def ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median, over the rounds, of one arm's time over another's in the same round."""
    return statistics.median(t / r for t, r in zip(times, reference, strict=True))
