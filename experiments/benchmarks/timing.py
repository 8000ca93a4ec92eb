"""Time functions side by side: they take turns, so that what else the machine does hits all."""

import gc
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

Arm = Callable[[int], None]
"""Does its work once; is given the number of the round."""


def take_turns(arms: Sequence[Arm], *, seconds: float, warm_up: int = 20) -> list[list[float]]:
    """Return the milliseconds of each arm in each round, for about so many seconds.

    In each round every arm works once.  Who begins changes from round to round, and so does the
    direction, so that each follows each other equally often.
    """
    times: list[list[float]] = [[] for _ in arms]
    for number in range(warm_up):
        for arm in arms:
            arm(number)
    gc.collect()
    gc.disable()
    try:
        number, ends = 0, perf_counter() + seconds
        while perf_counter() < ends or number < 2 * len(arms):
            for index in turn(len(arms), number):
                began = perf_counter()
                arms[index](number)
                times[index].append((perf_counter() - began) * 1e3)
            number += 1
    finally:
        gc.enable()
    return times


def turn(num_arms: int, number: int) -> list[int]:
    """Return the order of the arms in a round."""
    first = number // 2 % num_arms
    order = [*range(first, num_arms), *range(first)]
    return order[::-1] if number % 2 else order


def ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median, over the rounds, of one arm's time over another's in the same round."""
    return statistics.median(t / r for t, r in zip(times, reference, strict=True))
