"""Entries of the ledger and the measurements that they are made from."""

import math
from dataclasses import dataclass

MAX_REWARD = 1e100
"""Largest size of a reward; beyond it the variance of rewards would overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """The result of one activation; `None` is unmeasured.

    run, event: the key of the entry; two activations never share both.
    seed: index of the seed in its slot.
    slot_kind, placement, blueprint: the key of the pool that counts it.
    epoch: when it was settled.
    reward: on any scale, at most 1e100 in size.
    accuracy_improvement: validation accuracy over the reference, a fraction.
    loss_reduction: relative gain; 0.1 is a tenth less loss than without the change.
    latency_ms: recorded only; no score reads it.
    memory_mb: bytes of the kernel's parameters and optimizer state / 2**20.
    fossilized: True when the seed was kept for good.
    success: True when its settled gain was above 0.
    """

    run: str
    event: str
    slot: str
    seed: int
    slot_kind: str
    placement: str
    blueprint: str
    epoch: int
    reward: float | None
    accuracy_improvement: float | None = None
    loss_reduction: float | None = None
    latency_ms: float | None = None
    memory_mb: float | None = None
    fossilized: bool = False
    success: bool = False

    def __post_init__(self) -> None:
        if self.reward is not None and not abs(self.reward) <= MAX_REWARD:
            raise ValueError(f"reward must be finite, at most {MAX_REWARD:g}, got {self.reward}")
        for name in ("accuracy_improvement", "loss_reduction", "latency_ms", "memory_mb"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"a measurement must be finite or None, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPrior:
    """What a pool is expected to be before its first trial.

    slot_kind, placement, blueprint: the key of the pool.
    trials: number of trials that the expectation counts as, >= 1.
    mean_reward, spread: mean and standard deviation of the rewards that it was made from.
    mean_gain: mean relative gain; None if none was measured.
    """

    slot_kind: str
    placement: str
    blueprint: str
    trials: int
    mean_reward: float
    spread: float
    mean_gain: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Measurements of a live seed at one evaluation; units as in `LedgerEntry`."""

    accuracy_improvement: float | None = None
    loss_reduction: float | None = None
    memory_mb: float | None = None
