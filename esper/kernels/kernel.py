"""A kernel: a blueprint built for one slot, checked and ready to train; and why there is none."""

import hashlib
from dataclasses import dataclass, field

from torch import nn

from esper.contracts.errors import EsperError
from esper.contracts.event import Gate, KernelBuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTimes:
    """What making a kernel took, in milliseconds; None is what was not done for it.

    build_ms: building it and drawing its weights.
    validate_ms: building a probe of its kind and running it; None where a verdict was known.
    load_ms: reading the verdict from the disk; None where it was in memory, or not known at all.
    compile_ms: compiling it.
    ahead_ms: all of this that was done in the background.
    wait_ms: how long training waited for it.
    """

    build_ms: float = 0.0
    validate_ms: float | None = None
    load_ms: float | None = None
    compile_ms: float | None = None
    ahead_ms: float | None = None
    wait_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A blueprint built for a slot.  It has never been run: what was run is a probe of its kind.

    flops: forward FLOPs a sample.
    latency_ms: time of the probe's forward, for the record only.
    gate: what the probe was asked.
    graphs: how many graphs compiling it took, None where it is not compiled.
    """

    module: nn.Module
    blueprint: str
    parameters: int
    trainable: int
    flops: int
    latency_ms: float
    gate: Gate
    graphs: int | None = None
    work: BuildTimes = field(default_factory=BuildTimes)


class KernelError(EsperError):
    """A blueprint could not be built into a sane kernel; the host never saw it.

    attempt: what was asked for, and the error.
    """

    def __init__(self, slot: str, seed: int, blueprint: str, problem: str) -> None:
        error = f"blueprint '{blueprint}' in slot '{slot}' {problem}"
        super().__init__(error)
        self.attempt = KernelBuilt(
            slot=slot,
            seed=seed,
            blueprint=blueprint,
            parameters=0,
            flops=0,
            build_ms=0,
            error=error,
        )


def weight_seed(rng_seed: int, slot: str, seed: int, activation: int) -> int:
    """Return the seed of a kernel's first weights: the same in every process."""
    key = f"{rng_seed}/{slot}/{seed}/{activation}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def kernel_event(slot: str, seed: int, kernel: Kernel) -> KernelBuilt:
    """Return the event of a kernel that was made for a seed."""
    return KernelBuilt(
        slot=slot,
        seed=seed,
        blueprint=kernel.blueprint,
        parameters=kernel.parameters,
        flops=kernel.flops,
        build_ms=kernel.work.build_ms,
        validate_ms=kernel.work.validate_ms,
        load_ms=kernel.work.load_ms,
        compile_ms=kernel.work.compile_ms,
        ahead_ms=kernel.work.ahead_ms,
        wait_ms=kernel.work.wait_ms,
        graphs=kernel.graphs,
    )
