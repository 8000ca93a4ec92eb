"""Options of kernels: their largest cost, compilation, and recovery from failures."""

import math
from dataclasses import dataclass

from esper.contracts.checks import require, require_types

LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Kernels:
    """How kernels are made.

    max_flops: upper limit of a kernel's forward FLOPs for one sample; None for no limit.
    compile: compile kernels with `torch.compile`; needs a C++ compiler, or Triton on a GPU.
    """

    max_flops: float | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        require_types(self, "kernels")
        valid = self.max_flops is None or 0 <= self.max_flops < math.inf
        require(valid, "kernels.max_flops", ">= 0 and finite, or null", self.max_flops)


@dataclass(frozen=True)
class RecoveryOptions:
    """How a run recovers from kernels that fail while the network runs.

    failures: failures after which a kernel's circuit breaker opens and the kernel rests; an epoch
        without a failure resets the count.
    rest_epochs: whole epochs that a kernel rests before it is tried again.
    quarantine_after: failures after which a blueprint is no longer germinated.  A failed build
        counts once, and so do all failures of one kernel in an epoch.
    retries: number of retries after an error whose cause may be temporary.
    backoff_s: pause before the first retry, in seconds in [0, 60]; then four times the one before.
    """

    failures: int = 3
    rest_epochs: int = 5
    quarantine_after: int = 3
    retries: int = 3
    backoff_s: float = 0.05

    def __post_init__(self) -> None:
        require_types(self, "recovery")
        for key in ("failures", "rest_epochs", "quarantine_after", "retries"):
            count = getattr(self, key)
            require(count >= 1, f"recovery.{key}", "a whole number >= 1", count)
        valid = 0 <= self.backoff_s <= LONGEST_BACKOFF_S
        require(valid, "recovery.backoff_s", f"in [0, {LONGEST_BACKOFF_S:g}]", self.backoff_s)
