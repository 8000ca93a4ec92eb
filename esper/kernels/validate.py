"""Validate a kind of kernel: run a probe of it forward and backward, in train and in eval mode.

What a probe shows must hold for every kernel of its kind, and be the same whenever it is asked: its
weights and inputs are drawn from fixed seeds.  A probe is thrown away, so that whatever running it
changed in it reaches no host.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.event import Check, Gate
from esper.kernels.build import BuildMode, build, drawing
from esper.kernels.request import Request

BATCH = 4
Allow = Callable[[int, int], object]
PROBE_SEED = 0x5EED
"""Of a probe's weights and of what its forward draws."""

_INPUT_SEED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A function of blueprint, shapes, device, dtype and libraries; never of one kernel's weights.

    parameters: frozen ones included.
    trainable: those that learn.
    latency_ms: time of a probe's forward when it was validated, for the record.
    gate: what the probe was asked.
    """

    parameters: int
    trainable: int
    latency_ms: float
    gate: Gate

    def counts_right(self, module: nn.Module) -> bool:
        """Return whether a module has as many parameters as the verdict says."""
        return counts(module) == (self.parameters, self.trainable)


def counts(module: nn.Module) -> tuple[int, int]:
    """Return the parameters of a module: all of them, and those that learn."""
    found = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in found), sum(n for n, learns in found if learns)


def to_plain(verdict: ProbeResult) -> dict[str, Any]:
    """Return a verdict as JSON holds it."""
    return asdict(verdict)


def from_plain(saved: dict[str, Any]) -> ProbeResult:
    """Return the verdict that `to_plain` gave.

    Raises:
        KeyError, TypeError: if it is none.
    """
    checks = tuple(Check(**check) for check in saved["gate"]["checks"])
    return ProbeResult(
        parameters=int(saved["parameters"]),
        trainable=int(saved["trainable"]),
        latency_ms=float(saved["latency_ms"]),
        gate=Gate(checks=checks),
    )


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one forward and one backward gave.

    largest: of the outputs' absolute values.
    norm: of the gradient of the kernel's parameters, None without any that learn.
    upstream: norm of the gradient that goes on to the host, 0 where none does.
    """

    shape: Check
    kept_input: bool = False
    largest: float = math.nan
    norm: float | None = None
    upstream: float = math.nan
    latency_ms: float = 0.0


def validate(request: Request, where: BuildMode, allow: Allow) -> ProbeResult:
    """Return the verdict on the kind of kernel that is asked for.

    Args:
        request: what is asked for.
        where: how a probe is built.
        allow: is called with the parameters that a probe has, and those that learn, before it runs.

    Raises:
        Exception: what a user's blueprint or kernel raises.
    """
    with (
        drawing(PROBE_SEED, where),
        torch.autocast(request.device.type, enabled=False),
    ):
        probe = build(request, where)
        parameters, trainable = counts(probe)
        allow(parameters, trainable)
        training = _run(probe.train(), request, BATCH)
        passes = [training]
        if training.shape.passed:
            # The last batch of a pass may be smaller.
            passes.append(_run(probe.eval(), request, BATCH - 1))
    return ProbeResult(
        parameters=parameters,
        trainable=trainable,
        latency_ms=training.latency_ms,
        gate=Gate(checks=_checks(passes)),
    )


def _run(probe: nn.Module, request: Request, num: int) -> _Pass:
    noise = _noise(request, num)
    # No leaf, as in a host: a kernel may change it in place, and is found out.
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
    wanted = (num, *out_shape)
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if found == wanted:
        return Check(name="shape", passed=True, value=float(len(wanted)), limit=str(out_shape))
    return Check(name="shape", passed=False, value=None, limit=f"{wanted}, got {found}")


def _gradients(output: Tensor, wanted: list[Tensor]) -> list[Tensor | None]:
    if not output.requires_grad:
        return [None] * len(wanted)
    weights = torch.linspace(-1.0, 1.0, output.numel(), dtype=torch.float32, device=output.device)
    value = (output * weights.to(output.dtype).view_as(output)).sum()
    return list(torch.autograd.grad(value, wanted, allow_unused=True))


def _norm(grads: list[Tensor | None]) -> float:
    squares = [float(grad.float().square().sum()) for grad in grads if grad is not None]
    return math.sqrt(sum(squares)) if all(map(math.isfinite, squares)) else math.nan


def _checks(passes: list[_Pass]) -> tuple[Check, ...]:
    """Return the worst that was found, by name."""
    unfit = [each.shape for each in passes if not each.shape.passed]
    if unfit:
        return (unfit[0],)
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
    """Ask the parameters' gradient in train mode to be there, and in eval mode to be finite."""
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
