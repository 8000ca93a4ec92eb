"""The learning rate over the budget, relative to its highest value.

`wsd` (warm-up, stable, decay; Hu et al. 2024, arXiv:2404.06395, here without the warm-up) keeps the
rate constant while the network grows, then decreases it linearly.
"""

import math
from collections.abc import Callable


def _wsd(progress: float, stable_until: float) -> float:
    return 1.0 if progress <= stable_until else (1.0 - progress) / (1.0 - stable_until)


def _constant(progress: float, stable_until: float) -> float:
    return 1.0


def _cosine(progress: float, stable_until: float) -> float:
    return (1.0 + math.cos(math.pi * progress)) / 2


USUAL = "wsd"
"""The schedule of a known budget."""
SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "wsd": _wsd,
    "constant": _constant,
    "cosine": _cosine,
}


def learning_rate_factor(schedule: str, progress: float, stable_until: float) -> float:
    """Return the learning rate relative to the highest, in [0, 1].

    Args:
        schedule: a key of `SCHEDULES`.
        progress: fraction of the budget that is used, in [0, 1].
        stable_until: fraction of the budget in which `wsd` stays constant.
    """
    return max(0.0, SCHEDULES[schedule](min(1.0, progress), stable_until))
