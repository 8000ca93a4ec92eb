"""What ends a run whose number of epochs is not given: a time, FLOPs, or a signal."""

import math
import re
from dataclasses import dataclass

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
        """Return the budget of a text, such as `90s`, `10m`, `2h`, `3e12FLOPs`, `5GFLOPs` or `none`.

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
