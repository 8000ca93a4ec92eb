"""When the whole host is to become wider, and when that was wrong.

    slope = -(ln L(now) - ln L(then)) / (ln F(now) - ln F(then))

L is the validation loss of the averaged network and F what the run has cost in FLOPs; `then` is the
last epoch at this size that had cost at most 1 / `WINDOW` of what was spent by now.  A network
that learns less than half as much a doubling of FLOPs as at its steepest has used its size.  A
larger size is kept if it holds the best network by the time that twice the FLOPs are spent.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

WINDOW = 1.3
"""Factor of FLOPs over which a slope is taken."""
SHARE = 0.5
"""Of the steepest slope, under which a size is used up."""
LEAST_EPOCHS = 8
"""At a size, without which the first plateau of a network is taken for its last."""
LEARNED = 0.9
"""Share of the loss of guessing, above which a network has not begun to learn."""
RISE = 1.02
"""Factor of the lowest loss, above which the network overfits."""
TRIED = 2.0
"""Factor of FLOPs after which a larger size must hold the best network."""


@dataclass(slots=True)
class Widening:
    """What is known of the sizes of a run.

    points: FLOPs and loss of each epoch at the present size.
    steepest: slope so far, at all sizes.
    lowest: loss so far, at all sizes.
    began_at, began_epoch: FLOPs and epoch at which the present size began.
    is_over: whether no larger size is tried any more.
    """

    points: list[tuple[float, float]] = field(default_factory=list)
    steepest: float = 0.0
    lowest: float = math.inf
    began_at: float = 0.0
    began_epoch: int = 0
    is_over: bool = False

    def add(self, flops: float, loss: float) -> None:
        """Note the FLOPs and the validation loss of a run after an epoch."""
        self.points.append((flops, loss))
        self.lowest = min(self.lowest, loss)
        slope = self.slope
        if slope is not None:
            self.steepest = max(self.steepest, slope)

    @property
    def slope(self) -> float | None:
        """The present slope; None while the size is too young for one."""
        now, loss = self.points[-1]
        then = [point for point in self.points if point[0] <= now / WINDOW]
        if not then or not 0 < loss < math.inf or not 0 < then[-1][1] < math.inf:
            return None
        return math.log(then[-1][1] / loss) / math.log(now / then[-1][0])

    def reason(self, chance_loss: float) -> str | None:
        """Return why the host is to become wider now; None if it is not.

        Args:
            chance_loss: of a network that guesses.
        """
        slope, loss = self.slope, self.points[-1][1]
        if self.is_over or len(self.points) < LEAST_EPOCHS or slope is None:
            return None
        if loss > LEARNED * chance_loss or loss > RISE * self.lowest:
            return None
        if slope >= SHARE * self.steepest:
            return None
        return (
            f"the validation loss falls by {slope:.3g} % for 1 % more FLOPs, under half of its "
            f"steepest, {self.steepest:.3g} %"
        )

    def has_failed(self, best_epoch: int) -> bool:
        """Return whether the present size has had its time, and the best network is an older one.

        Args:
            best_epoch: of the best averaged network so far.
        """
        was_tried = self.began_at > 0 and self.points[-1][0] >= TRIED * self.began_at
        return was_tried and best_epoch <= self.began_epoch

    def begin(self, flops: float, epoch: int) -> None:
        """Note that a larger size begins after an epoch."""
        self.points.clear()
        self.began_at, self.began_epoch = flops, epoch

    def end(self) -> None:
        """Note that the run went back to its last size, and stays there."""
        self.is_over, self.began_at = True, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Widening":
        """Return what `state_dict` returned."""
        points = [(float(flops), float(loss)) for flops, loss in state["points"]]
        return cls(**{**state, "points": points})
