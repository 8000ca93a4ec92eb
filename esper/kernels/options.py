"""Options of the kernel pipeline: what a kernel may cost, what is remembered, what is compiled."""

import math
from dataclasses import dataclass

_LIMITS = ("max_parameters", "max_memory_mb", "max_flops")
_SIZES = ("ahead_mb", "memory_entries", "disk_mb")


@dataclass(frozen=True)
class Kernels:
    """How kernels are made.  Nothing of it but the limits and `compile` changes a run's numbers.

    ahead: build in the background what may be asked for next.
    ahead_mb: most MiB of parameters that are kept ready.
    memory_entries: most verdicts that are kept in memory; 0 keeps none.
    cache_dir: folder of the verdicts on disk; `$XDG_CACHE_HOME/esper/kernels` when not given.
    disk_mb: most MiB of them, the oldest go first; 0 leaves the disk alone.
    max_parameters: most parameters of a kernel, frozen ones included.
    max_memory_mb: most MiB of its weights, gradients and moments.
    max_flops: most forward FLOPs a sample.
    compile: let torch compile each kernel by itself; needs a C++ compiler, or Triton on a GPU.
    """

    ahead: bool = True
    ahead_mb: float = 256.0
    memory_entries: int = 1024
    cache_dir: str | None = None
    disk_mb: float = 16.0
    max_parameters: int | None = None
    max_memory_mb: float | None = 4096.0
    max_flops: float | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        for key in _LIMITS:
            limit = getattr(self, key)
            if limit is not None and not 0 <= limit < math.inf:
                raise ValueError(f"kernels.{key} must be >= 0 and finite, or null, got {limit}")
        for key in _SIZES:
            size = getattr(self, key)
            if not 0 <= size < math.inf:
                raise ValueError(f"kernels.{key} must be >= 0 and finite, got {size}")
        if self.cache_dir is not None and not self.cache_dir.strip():
            raise ValueError(
                "kernels.cache_dir must be a folder, or null for the usual one "
                f"(kernels.disk_mb=0 leaves the disk alone), got {self.cache_dir!r}"
            )
