"""Build a blueprint into a kernel for one slot, and check it before a host ever sees it."""

import hashlib
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.contracts.event import Check, Gate
from esper.contracts.slot import SlotSpec

BATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A blueprint built for a slot.

    flops: forward FLOPs a sample.  build_ms, latency_ms: measured, for the record only.
    """

    module: nn.Module
    blueprint: str
    parameters: int
    trainable: int
    flops: int
    build_ms: float
    latency_ms: float
    gate: Gate


def weight_seed(rng_seed: int, slot: str, seed: int, activation: int) -> int:
    """Return the seed of a kernel's first weights: the same in every process."""
    key = f"{rng_seed}/{slot}/{seed}/{activation}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def build(blueprint: str, spec: SlotSpec, weights: int) -> Kernel:
    """Return a kernel for a slot whose weights are drawn from the seed `weights`.

    The global generator is left as it was.  `Kernel.gate` says whether the kernel is sane: the
    caller must not use one whose gate has not passed.
    """
    recipe = catalogue.get(blueprint)
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(weights)
        module = recipe.build(spec.kind, spec.in_shape, spec.out_shape)
        built = time.perf_counter()
        gate, latency_ms = _sanity(module, spec)
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return Kernel(
        module=module,
        blueprint=blueprint,
        parameters=sum(n for n, _ in counts),
        trainable=sum(n for n, learns in counts if learns),
        flops=recipe.flops(spec.kind, spec.in_shape, spec.out_shape),
        build_ms=(built - started) * 1e3,
        latency_ms=latency_ms,
        gate=gate,
    )


def _sanity(module: nn.Module, spec: SlotSpec) -> tuple[Gate, float]:
    """Run a kernel forward and backward on noise; return what was found and the forward's time."""
    noise = torch.randn((BATCH, *spec.in_shape))
    given = noise.clone()
    started = time.perf_counter()
    output = module(noise)
    latency_ms = (time.perf_counter() - started) * 1e3
    shape = _shape_check(output, BATCH, spec)
    if shape.passed:
        # The last batch of a pass may be smaller.
        fewer = _shape_check(module(given[1:].clone()), BATCH - 1, spec)
        shape = shape if fewer.passed else fewer
    if not shape.passed or not isinstance(output, Tensor):
        return Gate(checks=(shape,)), latency_ms
    kept = bool(torch.equal(noise, given))
    largest = float(output.detach().abs().max())
    checks = [
        shape,
        Check(name="input", passed=kept, value=float(kept), limit="left as it was"),
        Check(name="output", passed=math.isfinite(largest), value=_finite(largest), limit="finite"),
        _gradient_check(module, output),
    ]
    return Gate(checks=tuple(checks)), latency_ms


def _shape_check(output: object, num: int, spec: SlotSpec) -> Check:
    wanted = (num, *spec.out_shape)
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if found == wanted:
        return Check(name="shape", passed=True, value=float(len(wanted)), limit=str(spec.out_shape))
    return Check(name="shape", passed=False, value=None, limit=f"{wanted}, got {found}")


def _gradient_check(module: nn.Module, output: Tensor) -> Check:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        return Check(name="gradient", passed=True, value=None, limit="no trainable parameters")
    weights = torch.linspace(-1.0, 1.0, output.numel()).view_as(output)
    grads = torch.autograd.grad((output * weights).sum(), parameters, allow_unused=True)
    norm = float(sum((g.square().sum() for g in grads if g is not None), torch.zeros(())).sqrt())
    return Check(
        name="gradient",
        passed=math.isfinite(norm) and norm > 0,
        value=_finite(norm),
        limit="finite and > 0",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
