"""Validate a kind of kernel: run a probe of it forward and backward, in train and in eval mode.

A probe's weights and inputs are drawn from fixed seeds, so that the result holds for all kernels of
the kind.  The probe is discarded, because running it may change its buffers.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esper.contracts.event import Check, Gate
from esper.kernels.build import build, drawing
from esper.kernels.request import Request

BATCH = 4
PROBE_SEED = 0x5EED
"""Seed of a probe's weights, and of the random draws in its forward pass."""

_INPUT_SEED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Depends on blueprint, shapes, device, dtype and libraries, not on one kernel's weights.

    latency_ms: duration of the probe's forward pass.
    gate: the checks, passed or not.
    """

    latency_ms: float
    gate: Gate


@dataclass(frozen=True, slots=True)
class _Pass:
    """Results of one forward and one backward pass.

    largest: the largest absolute value of the output.
    norm: gradient norm of the kernel's parameters, None if none is trainable.
    upstream: gradient norm of the input, 0 if no gradient reaches it.
    """

    shape: Check
    kept_input: bool = False
    largest: float = math.nan
    norm: float | None = None
    upstream: float = math.nan
    latency_ms: float = 0.0


def validate(request: Request, *, in_background: bool = False) -> ProbeResult:
    """Return the result of a probe of the requested kind.

    Raises:
        RefusedError: if its number of parameters differs from the measured one.
        Exception: whatever a user's blueprint or kernel raises.
    """
    with (
        drawing(PROBE_SEED, in_background=in_background),
        torch.autocast(request.device.type, enabled=False),
    ):
        probe = build(request, in_background=in_background)
        training = _run(probe.train(), request, BATCH)
        passes = [training]
        if training.shape.passed:
            # The last batch of an epoch may be smaller.
            passes.append(_run(probe.eval(), request, BATCH - 1))
    return ProbeResult(latency_ms=training.latency_ms, gate=Gate(checks=_checks(passes)))


def _run(probe: nn.Module, request: Request, num: int) -> _Pass:
    noise = _noise(request, num)
    # A kernel can change its input in place, which the check detects, only if it is not a leaf.
    given = noise.clone()
    began = time.perf_counter()
    output = probe(given)
    latency_ms = (time.perf_counter() - began) * 1e3
    shape = _shape_check(output, num, request.spec.out_shape)
    if not shape.passed or not isinstance(output, Tensor):
        return _Pass(shape)
    learning = [p for p in probe.parameters() if p.requires_grad]
    grads = _gradients(output, [*learning, noise])
    return _Pass(
        shape=shape,
        kept_input=bool(torch.equal(noise, given)),
        largest=float(output.detach().abs().max()),
        norm=_norm(grads[:-1]) if learning else None,
        upstream=_norm(grads[-1:]),
        latency_ms=latency_ms,
    )


def _noise(request: Request, num: int) -> Tensor:
    generator = torch.Generator().manual_seed(_INPUT_SEED)
    shape = (num, *request.spec.in_shape)
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    return noise.to(device=request.device, dtype=request.dtype).requires_grad_()


def _shape_check(output: object, num: int, out_shape: tuple[int, ...]) -> Check:
    expected = (num, *out_shape)
    given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if given == expected:
        return Check(name="shape", passed=True, value=float(len(expected)), limit=str(out_shape))
    return Check(name="shape", passed=False, value=None, limit=f"{expected}, got {given}")


def _gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor | None]:
    if not output.requires_grad:
        return [None] * len(inputs)
    weights = torch.linspace(-1.0, 1.0, output.numel(), dtype=torch.float32, device=output.device)
    value = (output * weights.to(output.dtype).view_as(output)).sum()
    return list(torch.autograd.grad(value, inputs, allow_unused=True))


def _norm(grads: list[Tensor | None]) -> float:
    squares = [float(grad.float().square().sum()) for grad in grads if grad is not None]
    return math.sqrt(sum(squares)) if all(map(math.isfinite, squares)) else math.nan


def _checks(passes: list[_Pass]) -> tuple[Check, ...]:
    """Return the checks on the worst values of all passes."""
    misshapen = [each.shape for each in passes if not each.shape.passed]
    if misshapen:
        return (misshapen[0],)
    kept = all(each.kept_input for each in passes)
    largest = max((each.largest for each in passes), key=_badness)
    upstream = max((each.upstream for each in passes), key=_badness)
    return (
        passes[0].shape,
        Check(name="input", passed=kept, value=float(kept), limit="left as it was"),
        _finite_check("output", largest),
        _gradient_check([each.norm for each in passes]),
        _finite_check("upstream", upstream),
    )


def _gradient_check(norms: list[float | None]) -> Check:
    """Require a parameter gradient above 0 in train mode, and finite ones in both modes."""
    measured = [norm for norm in norms if norm is not None]
    if not measured:
        return Check(name="gradient", passed=True, value=None, limit="no trainable parameters")
    finite = all(map(math.isfinite, measured))
    return Check(
        name="gradient",
        passed=finite and measured[0] > 0,
        value=measured[0] if finite else None,
        limit="finite and > 0",
    )


def _finite_check(name: str, value: float) -> Check:
    finite = math.isfinite(value)
    return Check(name=name, passed=finite, value=value if finite else None, limit="finite")


def _badness(value: float) -> float:
    return value if math.isfinite(value) else math.inf
