"""Options of attribution: how a kernel's gain is measured, when, and what bar it must pass."""

import math
from dataclasses import dataclass, replace

from esper.contracts.checks import require, require_one_of, require_types
from esper.contracts.slot import Look
from esper.growth.options import Growth

METHODS = ("muting", "twin", "ablation")
LOOKS = {"muting": (4, 6, 9), "twin": (4, 6), "ablation": (4, 6, 9)}
MIN_GAIN = {"muting": 0.005, "twin": 0.02, "ablation": 0.005}
SHOWN = {"muting": 0.25, "twin": 1.0, "ablation": 1.0}
"""Share of a kernel's lasting gain that each method shows."""

AGAIN = 3
"""Epochs between the two looks at a kernel that blends again; the first is at the first age."""

LAST_PART = 4
"""No kernel stays on trial in the last of so many parts of a run; see `last_look_epoch`."""


def last_look_epoch(epochs: int) -> int:
    """Return the epoch after which no kernel stays on trial, if it is old enough for a look.

    The last quarter of the run, at least an epoch, is left to what stays: a host that was trained
    beside a kernel and lost it needs some training to make up for it.
    """
    return epochs - max(1, epochs // LAST_PART)


@dataclass(frozen=True)
class Attribution:
    """How trials are measured.

    method: `muting` leaves the kernel out of random training steps and compares the network with
        and without it; `twin` trains a copy of the network without it; `ablation` compares with
        and without it although the host only knows the network with it, which credits too much.
    mute_probability: share of training steps without a kernel on trial, in (0, 1); of `muting`.
    looks: ages in epochs at which a kernel is measured; None for 4, 6, 9 (4, 6 for `twin`).
    min_gain: least relative gain of a kept kernel, in [0, 1); None for 0.005 (0.02 for `twin`).
    standard_errors: least gain of a kept kernel in standard errors at its last look, >= 0; at look
        k of n it is sqrt(n / k) times as many (O'Brien and Fleming 1979, "A multiple testing
        procedure for clinical trials").  1.7 keeps a kernel of gain 0 in at most 5 % of trials.
    """

    method: str = "muting"
    mute_probability: float = 0.5
    looks: tuple[int, ...] | None = None
    min_gain: float | None = None
    standard_errors: float = 1.7

    def __post_init__(self) -> None:
        require_types(self, "attribution")
        require_one_of("attribution.method", self.method, METHODS)
        share = self.mute_probability
        require(0 < share < 1, "attribution.mute_probability", "in (0, 1)", share)
        if self.looks is not None:
            looks = tuple(self.looks)
            object.__setattr__(self, "looks", looks)
            rising = len(looks) > 0 and list(looks) == sorted(set(looks)) and looks[0] >= 1
            require(rising, "attribution.looks", "rising whole numbers >= 1, or null", list(looks))
        least = self.min_gain
        valid = least is None or 0 <= least < 1
        require(valid, "attribution.min_gain", "in [0, 1) or null", least)
        errors = self.standard_errors
        require(0 <= errors < math.inf, "attribution.standard_errors", ">= 0 and finite", errors)

    @property
    def ages(self) -> tuple[int, ...]:
        """The ages in epochs at which a kernel is looked at."""
        return LOOKS[self.method] if self.looks is None else self.looks

    def ages_of(self, *, again: bool) -> tuple[int, ...]:
        """Return the ages of the looks at a kernel, which blends for the first time or `again`."""
        return (self.ages[0], self.ages[0] + AGAIN) if again else self.ages

    @property
    def least_gain(self) -> float:
        """The least relative gain of a kept kernel."""
        return MIN_GAIN[self.method] if self.min_gain is None else self.min_gain

    @property
    def shown(self) -> float:
        """The share of a kernel's lasting gain that the method shows, > 0."""
        return SHOWN[self.method]

    def bar(self, look: Look, error: float | None, *, again: bool = False) -> float:
        """Return the gain that a kernel must exceed at a look, from its gain's standard error."""
        ages = self.ages_of(again=again)
        past = sum(age <= look.age for age in ages)
        factor = 1.0 if look.is_last else math.sqrt(len(ages) / past)
        return max(self.least_gain, factor * self.standard_errors * (error or 0.0))

    def with_bars(self, look: Look, error: float | None, *, again: bool = False) -> Look:
        """Return a look with the bars of a gain's standard error."""
        last = self.bar(replace(look, is_last=True), error)
        return replace(look, bar=self.bar(look, error, again=again), last_bar=last)

    def check_stages(self, growth: Growth) -> None:
        """Refuse a first look before the end of SHADOWING.

        Raises:
            ValueError: with the keys and what is allowed.
        """
        settled = growth.epochs_to_trial + growth.shadowing_epochs
        if self.ages[0] < settled:
            raise ValueError(
                f"attribution.looks must start at {settled} or later, the epochs from germination "
                f"to the end of SHADOWING, got {list(self.ages)}"
            )
        if growth.on_cull == "twin" and self.method != "twin":
            raise ValueError(
                f"growth.on_cull=twin needs attribution.method=twin, got {self.method}"
            )

    def check_epochs(self, epochs: int) -> None:
        """Refuse looks that no kernel of a run can reach; the usual ones only leave it ungrown.

        Raises:
            ValueError: with the key and what is allowed.
        """
        # A seed germinates after epoch 1 at the earliest, and no look is taken after the last one.
        latest = epochs - 2
        if self.looks is not None and self.ages[0] > latest:
            raise ValueError(
                f"attribution.looks must start at {latest} or earlier, the oldest age of a kernel "
                f"in {epochs} epochs, got {list(self.ages)}"
            )

    def is_measured(self, age: int, epoch: int, epochs: int, *, again: bool = False) -> bool:
        """Return whether a twin is compared at an age: at each look, and an epoch before it."""
        is_before = self.due(age + 1, epoch + 1, epochs, again=again) is not None
        return is_before or self.due(age, epoch, epochs, again=again) is not None

    def due(self, age: int, epoch: int, epochs: int, *, again: bool = False) -> Look | None:
        """Return the look at a kernel of an age at the end of `epoch`, None if none is due.

        A look that is due after `last_look_epoch` is taken then, and is the last.  Only a kernel
        that is too young then is looked at later, once.
        """
        is_end = last_look_epoch(epochs) <= epoch < epochs and age >= self.ages[0]
        ages = self.ages_of(again=again)
        if age not in ages and not is_end:
            return None
        later = [each for each in ages if each > age]
        return Look(
            epoch=epoch,
            age=age,
            is_last=is_end or not later,
            bar=self.least_gain,
            last_bar=self.least_gain,
            least=self.least_gain,
            shown=self.shown,
        )
