"""Count the FLOPs of a run, and say what another trial may cost.

    FLOPs so far + remaining epochs of the settled network + open trials until their last looks
        + the new trial <= max_cost * FLOPs of the settled network trained for all epochs

The settled network is the one without live kernels.  Training counts a forward pass and a backward
pass of twice its cost; evaluations that a run without growth would make too are not counted.  A
look at m kernels evaluates the network with all of them, without each, and with each alone.
"""

from dataclasses import dataclass
from typing import Any

from esper.attribution.options import Attribution
from esper.attribution.trials import BACKWARD
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.growth.inputs import NUM_INPUTS, BatchSize
from esper.growth.slot import Activation
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

    def affordable_flops(self, epoch: int, num_kernels: int = 1) -> float:
        """Return the most forward FLOPs a sample of an event of new kernels after `epoch`.

        Each kernel of an event adds evaluations.  At most 0: no trial may be opened.
        """
        host, events = self.host, self._events()
        live = sum(kernel.flops for kernels in events for kernel in kernels)
        planned = self.spent.flops + self.plain_flops * (1 - epoch / self.epochs)
        whole, settled = self._passes(num_kernels, 0, epoch)
        for kernels in events:
            ages = [epoch - kernel.aged_from for kernel in kernels]
            more = self._passes(len(kernels), min(ages), epoch)
            whole, settled = whole + more[0], settled + more[1]
            for kernel, age in zip(kernels, ages, strict=True):
                planned += kernel.flops * self._trained(age, epoch)
        planned += whole * (host.settled_flops + live) + settled * host.settled_flops
        room = self.max_cost * self.plain_flops - planned
        return room / max(1.0, self._trained(0, epoch) + whole)

    def _events(self) -> list[list[Activation]]:
        """Return the live kernels of each growth event."""
        events: dict[int, list[Activation]] = {}
        for seed in self.host.seeds():
            if seed.stage in LIVE:
                events.setdefault(seed.activation.event, []).append(seed.activation)
        return list(events.values())

    def _trained(self, age: int, epoch: int) -> float:
        """Return the passes of samples in training a kernel until its last look."""
        muted = self.attribution.mute_probability if self.attribution.method == "muting" else 0.0
        trained = sum(
            1.0 if each < self.host.options.epochs_to_trial else 1 - muted
            for each in range(age, self._end(age, epoch))
        )
        return TRAINING * trained * self.spent.num_samples

    def _passes(self, num_kernels: int, age: int, epoch: int) -> tuple[float, float]:
        """Return the samples that pass the network until the last look at an event's kernels.

        First those that pass it with all or all but one of its kernels, then those that pass it
        with at most one, whose FLOPs the first part leaves room for; then a twin's.
        """
        stages, end = self.host.options, self._end(age, epoch)
        looks, has_twin = self._num_looks(age, epoch), self.attribution.method == "twin"
        gates = max(0, stages.epochs_to_trial - max(age, stages.training_epochs))
        # Each evaluation computes the batch statistics anew, also one of the settled network.
        inputs = NUM_INPUTS * self.batch_size.value if self.host.inputs.is_needed else 0
        scored = self.spent.num_evaluated + inputs
        whole = scored * (looks * (1 + num_kernels + has_twin) + gates)
        settled = scored * looks * (num_kernels + 2 * has_twin) + inputs * (end - age)
        trained = has_twin * TRAINING * (end - age) * self.spent.num_samples
        return whole, settled + trained

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
