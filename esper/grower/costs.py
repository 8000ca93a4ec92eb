"""Count the FLOPs of a run, and say what another trial may cost.

    FLOPs so far + remaining epochs of the settled network + open trials until their last looks
        + the new trial <= max_cost * FLOPs of the settled network trained for all epochs

The settled network is the one without live kernels.  Training counts a forward pass and a backward
pass of twice its cost; evaluations that a run without growth would make too are not counted.
"""

from dataclasses import dataclass
from typing import Any

from esper.attribution.options import Attribution
from esper.attribution.trials import BACKWARD
from esper.contracts.stage import LIVE
from esper.growth.host import Host

TRAINING = 1 + BACKWARD
_MAX_COST = {"muting": 1.3, "twin": 2.0, "ablation": 1.3}


@dataclass
class Spent:
    """What a run has cost so far, and how much data an epoch has.

    flops: FLOPs of training and attribution.
    num_samples: training samples of the last epoch.
    num_evaluated: samples of an evaluation.
    """

    flops: float = 0.0
    num_samples: int = 0
    num_evaluated: int = 0


class Costs:
    """The cost of a run, and the limit `safety.max_cost` on it."""

    def __init__(
        self, host: Host, attribution: Attribution, max_cost: float | None, epochs: int
    ) -> None:
        self.host, self.attribution, self.epochs = host, attribution, epochs
        self.max_cost = _MAX_COST[attribution.method] if max_cost is None else max_cost
        self.spent = Spent()

    def add_epoch(self, flops: float, num_samples: int, num_evaluated: int) -> None:
        """Count an epoch."""
        self.spent = Spent(self.spent.flops + flops, num_samples, num_evaluated)

    def affordable_flops(self, epoch: int) -> float:
        """Return the most forward FLOPs a sample of kernels that may germinate after `epoch`.

        At most 0: no trial may be opened.
        """
        host, spent = self.host, self.spent
        epoch_flops = TRAINING * host.settled_flops * spent.num_samples
        allowed = self.max_cost * epoch_flops * self.epochs
        planned = spent.flops + epoch_flops * (self.epochs - epoch)
        planned += sum(
            self._kernel_flops(seed.activation.flops, epoch - seed.activation.aged_from, epoch)
            + self._trial_flops(epoch - seed.activation.aged_from, epoch)
            for seed in host.seeds()
            if seed.stage in LIVE
        )
        room = allowed - planned - self._trial_flops(0, epoch)
        return room / max(1.0, self._kernel_flops(1.0, 0, epoch))

    def _kernel_flops(self, kernel_flops: float, age: int, epoch: int) -> float:
        """Return the FLOPs of training and evaluating a kernel until its last look."""
        muted = self.attribution.mute_probability if self.attribution.method == "muting" else 0.0
        trained = sum(
            1.0 if each < self.host.options.epochs_to_trial else 1 - muted
            for each in range(age, self._end(age, epoch))
        )
        looks = self._num_looks(age, epoch) * self.spent.num_evaluated
        return kernel_flops * (TRAINING * trained * self.spent.num_samples + looks)

    def _trial_flops(self, age: int, epoch: int) -> float:
        """Return the FLOPs of a trial until its last look, apart from its kernel's."""
        passes = 2 * self._num_looks(age, epoch) * self.spent.num_evaluated
        twin = self.attribution.method == "twin"
        trained = twin * TRAINING * (self._end(age, epoch) - age) * self.spent.num_samples
        return self.host.settled_flops * (passes + trained)

    def _end(self, age: int, epoch: int) -> int:
        """Return the age of the last look at a kernel of an age."""
        last = min(self.attribution.ages[-1], age + self.epochs - 1 - epoch)
        return max(age, last)

    def _num_looks(self, age: int, epoch: int) -> int:
        """Return the number of looks still due; the last one may be put forward by the end."""
        ages, end = self.attribution.ages, self._end(age, epoch)
        looks = {*ages, end} if end >= ages[0] else set(ages)
        return sum(age < look <= end for look in looks)

    def state_dict(self) -> dict[str, Any]:
        """Return what a run has cost so far."""
        return dict(vars(self.spent))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.spent = Spent(**state)
