"""Entries of the ledger and the measurements that they are made from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

MAX_REWARD = 1e100
"""Largest size of a reward; beyond it the variance of rewards would overflow."""

RUN_CONTEXT, KERNEL_CONTEXT = 4, 3
"""Numbers of a context that tell of the run, and of the germination; see `LedgerEntry.context`."""
CONTEXT_SIZES = (RUN_CONTEXT, RUN_CONTEXT + KERNEL_CONTEXT)
NEUTRAL = 0.5
"""Number of a context that says nothing of a germination."""

UNKNOWN = "unknown"
"""Task family and reward model of a ledger that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """The result of one activation; `None` is unmeasured.

    run, event: the key of the entry; two activations never share both.
    seed: index of the seed in its slot.
    slot_kind, placement, blueprint, task_family, reward_model: the key of the pool that counts it.
    task_family: kind of the task, such as `image`.
    reward_model: what judged it: the name of the option, and what else gives rewards another scale.
    epoch: when it was settled.
    reward: on any scale, at most 1e100 in size.
    weight: share of a trial that the reward counts as, in (0, 1]; see `Reward.weight`.
    accuracy_improvement: validation accuracy over the reference, a fraction.
    loss_reduction: relative gain; 0.1 is a tenth less loss than without the change.
    latency_ms: recorded only; no score reads it.
    memory_mb: bytes of the kernel's parameters and optimizer state / 2**20.
    fossilized: True when the seed was kept for good.
    success: True when its settled gain was above 0.
    context: of the germination, numbers in [0, 1]: 1, loss, learning rate, and share of the epochs
        that were over; for a strategy that reads health, what the run, the slot and the kernel say
        of the gain, too, where they were measured; () when unknown.
    shown: share of a lasting gain that `loss_reduction` shows, > 0.
    features: of the germination before it, see `signals.gain_features`, 4 significant digits each;
        () if no probe had measured the slot.
    reading: what a network read of it, see `learning.reading`; empty if no network asked for it.
    """

    run: str
    event: str
    slot: str
    seed: int
    slot_kind: str
    placement: str
    blueprint: str
    task_family: str
    reward_model: str
    epoch: int
    reward: float | None
    weight: float = 1.0
    accuracy_improvement: float | None = None
    loss_reduction: float | None = None
    latency_ms: float | None = None
    memory_mb: float | None = None
    fossilized: bool = False
    success: bool = False
    context: tuple[float, ...] = ()
    shown: float = 1.0
    features: tuple[float | None, ...] = ()
    reading: str = ""

    def __post_init__(self) -> None:
        if self.reward is not None and not abs(self.reward) <= MAX_REWARD:
            raise ValueError(f"reward must be finite, at most {MAX_REWARD:g}, got {self.reward}")
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight must be in (0, 1], got {self.weight}")
        for name in ("accuracy_improvement", "loss_reduction", "latency_ms", "memory_mb"):
            _check_finite("a measurement", getattr(self, name))
        for feature in self.features:
            _check_finite("a feature", feature)
        if not 0 < self.shown < math.inf:
            raise ValueError(f"shown must be > 0, got {self.shown}")
        has_size = len(self.context) in (0, *CONTEXT_SIZES)
        if not (has_size and all(0 <= value <= 1 for value in self.context)):
            sizes = " or ".join(map(str, CONTEXT_SIZES))
            raise ValueError(f"context must be {sizes} numbers in [0, 1], got {self.context}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "LedgerEntry":
        """Return the entry of these values, in which lists stand for tuples."""
        lists = {name: tuple(value) for name, value in values.items() if type(value) is list}
        return cls(**{**values, **lists})


def _check_finite(name: str, value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{name} must be finite or None, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPrior:
    """What a blueprint is expected to bring in similar slots, before its first trial there.

    task_family, reward_model, slot_kind, placement, is_late, blueprint: where; the second half of a
        host's slots is late.
    trials: number of rewards that it was made from, >= 1.
    mean_reward, spread: mean and sample standard deviation (0 for one) of those rewards.
    mean_gain: mean relative gain; None if none was measured.
    """

    task_family: str
    reward_model: str
    slot_kind: str
    placement: str
    blueprint: str
    trials: int
    mean_reward: float
    spread: float
    mean_gain: float | None
    is_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Measurements of a live seed at one evaluation; units as in `LedgerEntry`."""

    accuracy_improvement: float | None = None
    loss_reduction: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHistory:
    """What became of a seed's activations in one run.

    activations: number of germinations.
    grafts, failures: number of settled activations that were kept for good, and of the others.
    activated_epoch: end of the epoch at which it last germinated; None before.
    """

    activations: int = 0
    grafts: int = 0
    failures: int = 0
    activated_epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSummary:
    """Rewards in numbers, on the scale on which they were given.

    trials: number of rewards.
    mean: mean of the rewards; None when there is none.
    standard_error: that of the mean; None for fewer than two rewards.
    """

    trials: int
    mean: float | None
    standard_error: float | None

    @classmethod
    def of(cls, rewards: Sequence[float]) -> "RewardSummary":
        """Return the summary of `rewards`."""
        trials = len(rewards)
        return cls(
            trials=trials,
            mean=fmean(rewards) if trials else None,
            standard_error=stdev(rewards) / math.sqrt(trials) if trials > 1 else None,
        )
