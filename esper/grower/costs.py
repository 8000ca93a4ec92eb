"""Count the FLOPs of a run, and say what another trial may cost.

    FLOPs so far + remaining epochs of the settled network + open trials + the new trial
        <= max_cost * FLOPs of the settled network trained for all epochs

Most trials end early.  So an open trial that had no look yet counts until its first, one that
showed a gain until its last, and a new event until its first look; but each of its kernels must fit
until its last look if it is alone.  If more trials go on than the room holds, the look at the one
with the least gain is its last (`mark_last_looks`).  Kept kernels are looked at again in the room
that open trials leave.

The settled network is the one without live kernels.  Training counts a forward pass and a backward
pass of twice its cost; evaluations that a run without growth would make too are not counted.  A
look at m kernels evaluates the network with all of them, without each, and with each alone; some of
these are the same if no other event is open and m <= 2.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from esper.attribution.options import Attribution, last_look_epoch
from esper.attribution.trials import BACKWARD
from esper.contracts.budget import epochs_at
from esper.contracts.stage import LIVE
from esper.grower.spent import Spent
from esper.growth.host import Host
from esper.growth.inputs import NUM_INPUTS, BatchSize
from esper.growth.slot import Activation
from esper.safety.options import Safety

TRAINING = 1 + BACKWARD
COIN_ERRORS = 2.0
"""Standard deviations by which coins may mute fewer steps than expected."""
_MAX_COST = {"muting": 1.3, "twin": 2.0, "ablation": 1.3}


class Costs:
    """The cost of a run, and the limit `safety.max_cost` on it."""

    def __init__(
        self,
        host: Host,
        attribution: Attribution,
        safety: Safety,
        epochs: int | str,
        batch_size: int,
    ) -> None:
        self.host, self.attribution, self._epochs = host, attribution, epochs
        self.batch_size = BatchSize(host.model, host.optimizer, batch_size)
        given, usual = safety.max_cost, _MAX_COST[attribution.method]
        self.max_cost = usual if given is None else given
        self.spent = Spent()

    @property
    def epochs(self) -> int:
        """The budget, or the epochs with which a run without one reckons."""
        return epochs_at(self._epochs, self.spent.num_epochs)

    def begin_epoch(self, num_samples: int | None) -> float:
        """Note the training samples of an epoch; return the FLOPs of its training.

        In a loop that does not count samples, they are those of the optimizer's steps.  Call it
        before `Host.end_epoch`.
        """
        counted = num_samples or self.host.steps_in_epoch * self.batch_size.value
        self.spent.num_samples = counted
        self.spent.num_trained += counted
        self.spent.num_epochs += 1
        return TRAINING * self.host.epoch_flops(counted)

    def add(self, flops: float, num_evaluated: int) -> None:
        """Count the FLOPs of an epoch, and note the samples of an evaluation."""
        self.spent.flops += flops
        self.spent.num_evaluated = num_evaluated

    @property
    def plain_flops(self) -> float:
        """FLOPs of training the settled network for all epochs, without growth."""
        return self._trained_flops(self.host.settled_flops)

    @property
    def _epoch_samples(self) -> float:
        """Training samples of an epoch, on average so far: further ones are taken to be alike."""
        return self.spent.num_trained / max(1, self.spent.num_epochs)

    def affordable_flops(
        self,
        epoch: int,
        num_kernels: int = 1,
        without: Sequence[Activation] = (),
        kept: Sequence[Activation] = (),
    ) -> float:
        """Return the most forward FLOPs a sample of an event of new kernels after `epoch`.

        A single kernel must fit until its last look, more of them together until their first.  Each
        kernel of an event adds evaluations.  `without` are live kernels that leave before, `kept`
        those that are fossilized before.  At most 0: no trial may be opened.
        """
        events, settled_flops = self._events([*without, *kept]), self._settled_flops(kept)
        room, open_whole = self._room(events, epoch, kept, is_next=False)
        looks = self.attribution.ages
        end = self._last(looks, 0, epoch) if num_kernels == 1 else self._next(looks, 0, epoch)
        whole, settled = self._passes(num_kernels, looks, 0, end, is_only=not events)
        live = sum(kernel.flops for kernels in events for kernel in kernels)
        room -= whole * (settled_flops + live) + settled * settled_flops
        room -= self._twin_passes(0, end) * live
        # The looks at open trials evaluate the new kernels too.
        return room / max(1.0, self._trained(0, end) + whole + open_whole)

    def may_blend_again(self, epoch: int) -> bool:
        """Return whether a kernel that blends again after `epoch` is looked at in time."""
        # The kernel is as old then as a new one whose isolation is over.
        first = epoch + self.attribution.ages[0] - self.host.options.training_epochs
        return first <= last_look_epoch(self.epochs)

    def can_blend_again(
        self, kernels: Sequence[Activation], culled: Sequence[Activation], epoch: int
    ) -> bool:
        """Return whether the room holds `kernels` until their next looks if they blend again.

        `culled` are live kernels that leave at the same time.
        """
        aged_from = epoch - self.host.options.training_epochs
        others = self._events(without=[*kernels, *culled])
        again = [replace(kernel, aged_from=aged_from, look=None) for kernel in kernels]
        return self._room([*others, again], epoch, (), is_next=True)[0] >= 0

    def mark_last_looks(self, epoch: int) -> None:
        """Make looks of this epoch the last ones where the room does not hold all open trials.

        Those with the least gain come first, until the others fit up to their next looks.  Call it
        before the verdicts.
        """
        live = [seed.activation for seed in self.host.seeds() if seed.stage in LIVE]
        looked = [life for life in live if life.look is not None and life.look.epoch == epoch]
        for life in sorted(looked, key=lambda each: each.gain or 0.0):
            if is_over(life):
                continue
            events = self._events(without=[each for each in looked if is_over(each)])
            if self._room(events, epoch, (), is_next=True)[0] >= 0:
                break
            assert life.look is not None
            last = replace(life.look, is_last=True, is_unpaid=True)
            life.look = self.attribution.with_bars(last, life.gain_error)

    def affords_later_looks(self, num_kernels: int, epoch: int) -> bool:
        """Return whether so many kept kernels can be looked at again in the epoch after `epoch`.

        Each look is an evaluation; the batch statistics of the settled network are computed too.
        """
        evaluated = num_kernels * (self.spent.num_evaluated + self._num_inputs) + self._num_inputs
        room, _ = self._room(self._events(), epoch, (), is_next=False)
        return evaluated * self.host.settled_flops <= room

    @property
    def _num_inputs(self) -> int:
        """Samples from which an evaluation computes the batch statistics anew."""
        return NUM_INPUTS * self.batch_size.value if self.host.inputs.is_needed else 0

    def _room(
        self,
        events: list[list[Activation]],
        epoch: int,
        kept: Sequence[Activation],
        *,
        is_next: bool,
    ) -> tuple[float, float]:
        """Return the FLOPs left after the trials of all live kernels.

        With `is_next` only until their next looks, and no event joins them.  `kept` are settled,
        not live.  Then the samples that pass the network with most of its kernels, those of a
        further event included.
        """
        settled_flops = self._settled_flops(kept)
        plain_flops = self._trained_flops(settled_flops)
        live = sum(kernel.flops for kernels in events for kernel in kernels)
        planned = self.spent.flops + plain_flops * (1 - epoch / self.epochs)
        all_whole = 0.0
        for kernels in events:
            age, own = epoch - kernels[0].aged_from, sum(kernel.flops for kernel in kernels)
            looks = self.attribution.ages_of(again=kernels[0].blends_again)
            shown = any(kernel.look is not None for kernel in kernels) and not is_next
            end = (self._last if shown else self._next)(looks, age, epoch)
            is_only = is_next and len(events) == 1
            whole, settled = self._passes(len(kernels), looks, age, end, is_only=is_only)
            twin = self._twin_passes(age, end)
            planned += whole * (settled_flops + live) + settled * settled_flops
            planned += self._trained(age, end) * own + twin * (live - own)
            all_whole += whole + twin
        return self.max_cost * plain_flops - planned, all_whole

    def _trained_flops(self, flops: float) -> float:
        """Return the FLOPs of training a network of `flops` a sample for all epochs."""
        return TRAINING * flops * self._epoch_samples * self.epochs

    def _settled_flops(self, kept: Sequence[Activation] = ()) -> float:
        """Return the forward FLOPs a sample of the settled network, with kernels that join it."""
        return self.host.settled_flops + sum(kernel.flops for kernel in kept)

    def _events(self, without: Sequence[Activation] = ()) -> list[list[Activation]]:
        """Return the live kernels of each growth event, apart if they differ in age."""
        events: dict[tuple[int, int], list[Activation]] = {}
        for seed in self.host.seeds():
            if seed.stage in LIVE and not any(seed.current is each for each in without):
                life = seed.activation
                events.setdefault((life.event, life.aged_from), []).append(life)
        return list(events.values())

    def _trained(self, age: int, end: int) -> float:
        """Return the passes of samples in training a kernel between two ages.

        Coins may leave a kernel out of fewer steps than expected, the more so the fewer they are;
        `COIN_ERRORS` standard deviations are allowed for.
        """
        on_trial = range(max(age, self.host.options.epochs_to_trial), max(age, end))
        muted, num_steps = 0.0, len(on_trial) * self.host.steps_per_epoch
        if self.attribution.method == "muting" and on_trial:
            share = self.attribution.mute_probability
            spread = COIN_ERRORS * math.sqrt(share * (1 - share) / num_steps)
            muted = max(0.0, share - spread)
        return TRAINING * (max(age, end) - age - len(on_trial) * muted) * self._epoch_samples

    def _passes(
        self, num_kernels: int, looks: tuple[int, ...], age: int, end: int, *, is_only: bool
    ) -> tuple[float, float]:
        """Return the samples that pass the network for an event's kernels between two ages.

        `looks` are the ages at which the kernels are evaluated.

        First those that pass it with all or all but one of its kernels, then those that pass it
        with at most one, whose FLOPs the first part leaves room for; then a twin's.  If no other
        event is open, one kernel alone is the whole network, and of two one is without the other.
        """
        stages, has_twin = self.host.options, self.attribution.method == "twin"
        # The last look may be put forward by the end of the run.
        num_looks = len({a for a in (*looks, end) if age < a <= end}) if end >= looks[0] else 0
        is_same = is_only and num_kernels <= 2
        gates = max(0, stages.epochs_to_trial - max(age, stages.training_epochs))
        inputs = self._num_inputs  # also for an evaluation of the settled network
        scored = self.spent.num_evaluated + inputs
        with_most = 2 * num_kernels - 1 if is_same else 1 + num_kernels
        with_few = 0 if is_same else num_kernels
        whole = scored * (num_looks * (with_most + has_twin) + gates)
        settled = scored * num_looks * (with_few + 2 * has_twin) + inputs * (end - age)
        trained = has_twin * TRAINING * (end - age) * self._epoch_samples
        return whole, settled + trained

    def _twin_passes(self, age: int, end: int) -> float:
        """Return the samples that pass a twin between two ages, with the kernels of other events.

        `_passes` counts those of its settled network.
        """
        if self.attribution.method != "twin":
            return 0.0
        return TRAINING * (end - age) * self._epoch_samples + 2 * self.spent.num_evaluated

    def _next(self, looks: tuple[int, ...], age: int, epoch: int) -> int:
        """Return the age of the next of the looks at a kernel; `age` itself after the last."""
        due = next((look for look in looks if look > age), age)
        return max(age, min(due, self._left(age, epoch)))

    def _last(self, looks: tuple[int, ...], age: int, epoch: int) -> int:
        """Return the age of the last of the looks at a kernel."""
        return max(age, min(looks[-1], self._left(age, epoch)))

    def _left(self, age: int, epoch: int) -> int:
        """Return the age of a kernel at the look that the end of the run makes the last."""
        last = age + last_look_epoch(self.epochs) - epoch
        return min(max(last, self.attribution.ages[0]), age + self.epochs - 1 - epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return what a run has cost so far, and its batch size."""
        return {**vars(self.spent), "batch_size": self.batch_size.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.batch_size.load_state_dict(state["batch_size"])
        self.spent = Spent(**{key: state[key] for key in vars(self.spent)})


def is_over(kernel: Activation) -> bool:
    """Return whether a kernel's trial ends with the look that was taken at it."""
    assert kernel.look is not None
    return kernel.look.is_last or kernel.gain is None or kernel.gain <= 0
