"""A kernel: a blueprint built for one slot, validated and ready to train; and its refusals."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from esper.contracts.errors import EsperError
from esper.contracts.event import Gate, KernelBuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTimes:
    """Time that making a kernel took, in milliseconds; None for a step that was not taken.

    build_ms: building it and drawing its weights.
    validate_ms: building and running a probe; None where its result was cached.
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
    """A blueprint built for a slot.  It has never been run: a probe was run in its place.

    flops: forward FLOPs a sample.
    latency_ms: time of the probe's forward, for the record only.
    gate: the checks that the probe passed.
    graphs: how many graphs were compiled for it, None where kernels are not compiled.
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
    """A kernel is not sane or costs too much; the text says what was measured."""


class KernelError(EsperError):
    """A blueprint could not be built into a sane kernel; the host is unchanged.

    attempt: the request and the error, as a run reports them.
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
    """Turn whatever a block raises into a `KernelError`.

    A blueprint can be a user's code, so this is a boundary that takes any exception.
    """
    try:
        yield
    except RefusedError as error:
        raise KernelError(slot, seed, blueprint, str(error)) from error
    except Exception as error:
        problem = f"cannot be built: {type(error).__name__}: {error}"
        raise KernelError(slot, seed, blueprint, problem) from error


def weight_seed(rng_seed: int, slot: str, seed: int, activation: int) -> int:
    """Return the seed of a kernel's first weights, the same in every process; in [0, 2^63)."""
    key = f"{rng_seed}/{slot}/{seed}/{activation}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def kernel_event(slot: str, seed: int, kernel: Kernel) -> KernelBuilt:
    """Return the event body for a kernel that was made for a seed."""
    return KernelBuilt(
        slot=slot,
        seed=seed,
        blueprint=kernel.blueprint,
        parameters=kernel.parameters,
        flops=kernel.flops,
        build_ms=kernel.work.build_ms,
        validate_ms=kernel.work.validate_ms,
        compile_ms=kernel.work.compile_ms,
        ahead_ms=kernel.work.ahead_ms,
        wait_ms=kernel.work.wait_ms,
        graphs=kernel.graphs,
    )
