"""A kernel: a blueprint built for one slot, validated and ready to train; and its errors."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from torch import nn

from esper.contracts.errors import EsperError
from esper.contracts.event import Gate, KernelBuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTimes:
    """Milliseconds spent on making a kernel; None for a step that was not taken.

    build_ms: building it and drawing its weights.
    validate_ms: building and running a probe; None if its result was cached.
    compile_ms: compiling it.
    ahead_ms: building and validating it in the background thread.
    wait_ms: how long training waited for it.
    """

    build_ms: float = 0.0
    validate_ms: float | None = None
    compile_ms: float | None = None
    ahead_ms: float | None = None
    wait_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A blueprint built for a slot.  It has never been run: a probe was run instead.

    flops: forward FLOPs for one sample.
    latency_ms: duration of the probe's forward pass.
    gate: the checks that the probe passed.
    graphs: number of graphs compiled for it, None if kernels are not compiled.
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


class RefusedError(ValueError):
    """A kernel fails its validation or costs too much; the text contains the measured values."""


class KernelError(EsperError):
    """A blueprint could not be built into a valid kernel; the host is unchanged.

    attempt: the event that reports the request and the error.
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


@contextmanager
def kernel_errors(slot: str, seed: int, blueprint: str) -> Iterator[None]:
    """Turn any error of a block into a `KernelError`.

    Blueprints can be users' code, so this boundary catches any exception.
    """
    try:
        yield
    except RefusedError as error:
        raise KernelError(slot, seed, blueprint, str(error)) from error
    except Exception as error:
        problem = f"cannot be built: {type(error).__name__}: {error}"
        raise KernelError(slot, seed, blueprint, problem) from error


def weight_seed(rng_seed: int, slot: str, seed: int, activation: int) -> int:
    """Return the seed of a kernel's initial weights in [0, 2^63), the same in every process."""
    key = f"{rng_seed}/{slot}/{seed}/{activation}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def kernel_event(slot: str, seed: int, kernel: Kernel) -> KernelBuilt:
    """Return the event that reports a kernel made for a seed."""
    return KernelBuilt(
        slot=slot,
        seed=seed,
        blueprint=kernel.blueprint,
        parameters=kernel.parameters,
        flops=kernel.flops,
        graphs=kernel.graphs,
        **asdict(kernel.work),
    )
