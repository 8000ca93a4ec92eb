"""Runs whose number of epochs is not given: what ends them, and the epochs they reckon with."""

import math
import re
from dataclasses import dataclass

AUTO = "auto"
"""The word for epochs without a budget."""
TRIAL_EPOCHS = 10
"""Epochs from a germination to the verdict at the last of the usual looks, and one more."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_PREFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BUDGET = re.compile(
    r"(?P<number>[0-9.]+(?:e[+-]?\d+)?)(?:(?P<unit>[smh])|(?P<prefix>[KMGTP]?)FLOPs)"
)
NONE = "none"


@dataclass(frozen=True)
class Budget:
    """What a run may use; a run ends at the first end of an epoch at which one of both is used.

    seconds: by the wall clock, those before a resume included.
    flops: of training, trials and their evaluations.
    """

    seconds: float = math.inf
    flops: float = math.inf

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Return the budget of a text, such as `90s`, `10m`, `2h`, `3e12FLOPs` or `none`.

        Raises:
            ValueError: if it is none of these.
        """
        if text == NONE:
            return cls()
        found = _BUDGET.fullmatch(text)
        try:
            number = float(found["number"]) if found else math.nan
        except ValueError:  # two points
            number = math.nan
        if found is None or not 0 < number < math.inf:
            raise ValueError(
                f"budget must be none, a time such as 90s, 10m or 2h, or FLOPs such as 3e12FLOPs "
                f"or 5GFLOPs, got {text!r}"
            )
        if found["unit"]:
            return cls(seconds=number * _UNITS[found["unit"]])
        return cls(flops=number * _PREFIXES[found["prefix"]])

    def is_used(self, seconds: float, flops: float) -> bool:
        """Return whether a run that has used so much is over."""
        return seconds >= self.seconds or flops >= self.flops


def horizon(epoch: int) -> int:
    """Return the epochs with which a run without a budget reckons after an epoch.

    It is planned to go on for as long as it has, and for as long as a trial takes twice over: so
    that trials begin in the first half of the budget, and no look is hurried by its end.
    """
    return 2 * (epoch + TRIAL_EPOCHS)


def epochs_at(given: int | str, epoch: int) -> int:
    """Return the budget that is given, or the `horizon` of an epoch."""
    return horizon(epoch) if isinstance(given, str) else given
