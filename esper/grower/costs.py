"""Count the FLOPs of a run, and say what another trial may cost.

    FLOPs so far + remaining epochs of the settled network + open trials until their next looks
        + the new trial until its first look
        <= max_cost * FLOPs of the settled network trained for all epochs

A look that leaves no room until the next one is the last of its kernel (see `cull_unpaid`), so that
most trials, which end early, do not hold FLOPs that others could use.

The settled network is the one without live kernels.  Training counts a forward pass and a backward
pass of twice its cost; evaluations that a run without growth would make too are not counted.  A
look at m kernels evaluates the network with all of them, without each, and with each alone; some of
these are the same if no other event is open and m <= 2.
"""

from dataclasses import dataclass
from typing import Any

from esper.attribution.options import Attribution
from esper.attribution.trials import BACKWARD
from esper.contracts.event import LifecycleMove
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.growth.inputs import NUM_INPUTS, BatchSize
from esper.growth.lifecycle import cull_and_embargo
from esper.growth.slot import Activation
from esper.safety.options import Safety

TRAINING = 1 + BACKWARD
SHARE = 0.5
"""Share of the room that an event may take while another trial can follow."""
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
        events = self._events()
        room, open_whole = self._room(events, epoch, is_only=False)
        if room > 0 and self.can_follow(epoch):
            room *= SHARE
        whole, settled = self._passes(num_kernels, 0, epoch, is_only=not events)
        live = sum(kernel.flops for kernels in events for kernel in kernels)
        room -= whole * (self.host.settled_flops + live) + settled * self.host.settled_flops
        # The looks at open trials evaluate the new kernels too.
        return room / max(1.0, self._trained(0, epoch) + whole + open_whole)

    def can_follow(self, epoch: int) -> bool:
        """Return whether another trial may follow the whole of one that begins after an epoch."""
        return self.epochs - 1 - epoch >= 2 * self.attribution.ages[-1]

    def cull_unpaid(self, epoch: int) -> list[LifecycleMove]:
        """Cull kernels at a look, the least gain first, until the room holds those that stay.

        The room must last until the next look at each.  Call it after the verdicts of the epoch.
        """
        moves: list[LifecycleMove] = []
        live = [seed for seed in self.host.seeds() if seed.stage in LIVE]
        looked = [s for s in live if (look := s.activation.look) and look.epoch == epoch]
        for seed in sorted(looked, key=lambda each: each.activation.gain or 0.0):
            events = self._events()
            if self._room(events, epoch, is_only=len(events) == 1)[0] >= 0:
                break
            reason = "safety.max_cost leaves no room until its next look"
            moves += cull_and_embargo(self.host, seed, epoch, reason)
        return moves

    def _room(
        self, events: list[list[Activation]], epoch: int, *, is_only: bool
    ) -> tuple[float, float]:
        """Return the FLOPs left when the live kernels of all events get their next looks.

        Then the samples that these looks pass through the network with most of its kernels.
        """
        settled_flops = self.host.settled_flops
        live = sum(kernel.flops for kernels in events for kernel in kernels)
        planned = self.spent.flops + self.plain_flops * (1 - epoch / self.epochs)
        all_whole = 0.0
        for kernels in events:
            age = epoch - kernels[0].aged_from
            whole, settled = self._passes(len(kernels), age, epoch, is_only=is_only)
            planned += whole * (settled_flops + live) + settled * settled_flops
            planned += sum(kernel.flops for kernel in kernels) * self._trained(age, epoch)
            all_whole += whole
        return self.max_cost * self.plain_flops - planned, all_whole

    def _events(self) -> list[list[Activation]]:
        """Return the live kernels of each growth event, apart if they differ in age."""
        events: dict[tuple[int, int], list[Activation]] = {}
        for seed in self.host.seeds():
            if seed.stage in LIVE:
                key = (seed.activation.event, seed.activation.aged_from)
                events.setdefault(key, []).append(seed.activation)
        return list(events.values())

    def _trained(self, age: int, epoch: int) -> float:
        """Return the passes of samples in training a kernel until its next look."""
        muted = self.attribution.mute_probability if self.attribution.method == "muting" else 0.0
        trained = sum(
            1.0 if each < self.host.options.epochs_to_trial else 1 - muted
            for each in range(age, self._end(age, epoch))
        )
        return TRAINING * trained * self.spent.num_samples

    def _passes(
        self, num_kernels: int, age: int, epoch: int, *, is_only: bool
    ) -> tuple[float, float]:
        """Return the samples that pass the network until the next look at an event's kernels.

        First those that pass it with all or all but one of its kernels, then those that pass it
        with at most one, whose FLOPs the first part leaves room for; then a twin's.  If no other
        event is open, one kernel alone is the whole network, and of two one is without the other.
        """
        stages, end = self.host.options, self._end(age, epoch)
        has_look = end > age and end >= self.attribution.ages[0]
        has_twin = self.attribution.method == "twin"
        is_same = is_only and num_kernels <= 2
        gates = max(0, stages.epochs_to_trial - max(age, stages.training_epochs))
        # Each evaluation computes the batch statistics anew, also one of the settled network.
        inputs = NUM_INPUTS * self.batch_size.value if self.host.inputs.is_needed else 0
        scored = self.spent.num_evaluated + inputs
        with_most = 2 * num_kernels - 1 if is_same else 1 + num_kernels
        with_few = 0 if is_same else num_kernels
        whole = scored * (has_look * (with_most + has_twin) + gates)
        settled = scored * has_look * (with_few + 2 * has_twin) + inputs * (end - age)
        trained = has_twin * TRAINING * (end - age) * self.spent.num_samples
        return whole, settled + trained

    def _end(self, age: int, epoch: int) -> int:
        """Return the age of the next look at a kernel of an age; `age` itself after the last."""
        due = next((look for look in self.attribution.ages if look > age), age)
        return max(age, min(due, age + self.epochs - 1 - epoch))

    def state_dict(self) -> dict[str, Any]:
        """Return what a run has cost so far, and its batch size."""
        return {**vars(self.spent), "batch_size": self.batch_size.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.batch_size.value = state["batch_size"]
        self.spent = Spent(**{key: state[key] for key in vars(self.spent)})
