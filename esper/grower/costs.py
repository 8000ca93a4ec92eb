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
from esper.growth.inputs import BatchSize
from esper.safety.options import Safety

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
        self,
        host: Host,
        attribution: Attribution,
        safety: Safety,
        epochs: int,
        batch_size: int,
    ) -> None:
        self.host, self.attribution, self.epochs = host, attribution, epochs
        self.batch_size = BatchSize(host.model, batch_size)
        given, usual = safety.max_cost, _MAX_COST[attribution.method]
        self.max_cost = usual if given is None else given
        self.spent = Spent()

    def begin_epoch(self, num_samples: int | None) -> float:
        """Note the training samples of an epoch; return the FLOPs of its training.

        In a loop that does not count samples, they are those of the optimizer's steps.  Call it
        before `Host.end_epoch`.
        """
        counted = num_samples or self.host.steps_in_epoch * self.batch_size.value
        self.spent.num_samples = counted
        return TRAINING * self.host.epoch_flops(counted)

    def add(self, flops: float, num_evaluated: int) -> None:
        """Count the FLOPs of an epoch, and note the samples of an evaluation."""
        self.spent.flops += flops
        self.spent.num_evaluated = num_evaluated

    @property
    def plain_flops(self) -> float:
        """FLOPs of training the settled network for all epochs, without growth."""
        return TRAINING * self.host.settled_flops * self.spent.num_samples * self.epochs

    def affordable_flops(self, epoch: int) -> float:
        """Return the most forward FLOPs a sample of kernels that may germinate after `epoch`.

        At most 0: no trial may be opened.
        """
        host, spent = self.host, self.spent
        left = 1 - epoch / self.epochs
        planned = spent.flops + self.plain_flops * left
        planned += sum(
            self._kernel_flops(seed.activation.flops, epoch - seed.activation.aged_from, epoch)
            + self._trial_flops(epoch - seed.activation.aged_from, epoch)
            for seed in host.seeds()
            if seed.stage in LIVE
        )
        room = self.max_cost * self.plain_flops - planned - self._trial_flops(0, epoch)
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
        """Return what a run has cost so far, and its batch size."""
        return {**vars(self.spent), "batch_size": self.batch_size.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.batch_size.value = state["batch_size"]
        self.spent = Spent(**{key: state[key] for key in vars(self.spent)})
