"""Call a function with many rng seeds in parallel processes, and keep the results in order."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")


def over_seeds(
    function: Callable[[int], T], rng_seeds: Sequence[int], processes: int = 2
) -> list[T]:
    """Return `function(rng_seed)` for every seed, in their order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, rng_seeds))
