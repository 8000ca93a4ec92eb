"""What plans promised beside what came of them."""

from dataclasses import dataclass
from statistics import StatisticsError, correlation

FEWEST = 3
"""Least number of pairs that have a correlation; two always lie on a line."""


@dataclass(slots=True, kw_only=True)
class Promise:
    """A plan that expected a gain, and the gain that was measured.

    expected: relative gain that the plan expected of the best of its blueprints.
    measured: highest settled gain of the seeds that germinated by it; None before the first.
    """

    epoch: int
    slot: str
    expected: float
    measured: float | None = None


class Promises:
    """Every promise of a run, by the epoch and the slot of its plan; fed in order of events."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, str], Promise] = {}

    def promise(self, epoch: int, slot: str, expected: float | None) -> None:
        """Note what a plan expects; nothing if that is unknown."""
        if expected is not None:
            self._made[epoch, slot] = Promise(epoch=epoch, slot=slot, expected=expected)

    def settle(self, germinated_epoch: int, slot: str, gain: float | None) -> Promise | None:
        """Note a settled gain; return the promise that it belongs to, None without one."""
        made = self._made.get((germinated_epoch, slot))
        if made is None or gain is None:
            return None
        made.measured = gain if made.measured is None else max(gain, made.measured)
        return made

    @property
    def made(self) -> list[Promise]:
        """The promises, oldest first."""
        return list(self._made.values())

    @property
    def correlation(self) -> float | None:
        """Pearson correlation of expected and measured gains.

        None with fewer than three pairs, or if all expected or all measured gains are equal.
        """
        pairs = [(p.expected, p.measured) for p in self.made if p.measured is not None]
        if len(pairs) < FEWEST:
            return None
        expected, measured = zip(*pairs, strict=True)
        try:
            return correlation(expected, measured)
        except StatisticsError:
            return None
