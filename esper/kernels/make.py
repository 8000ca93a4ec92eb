"""Make one kernel: check its budgets, validate a probe of its kind, then build it."""

import time
from dataclasses import dataclass
from threading import Lock
from typing import Any

from esper.blueprint.cost import Cost, machine_memory_mb
from esper.contracts.event import Check, Gate
from esper.kernels.build import build, drawing
from esper.kernels.kernel import BuildTimes, Kernel, RefusedError
from esper.kernels.request import Request
from esper.kernels.validate import ProbeResult, validate

MAX_RESULTS = 1024
"""Number of probe results kept; the least recently used is dropped first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper limits of one kernel's cost; None for no limit.

    parameters: frozen ones included.
    memory_mb: MiB of weights, gradients and moments.  The machine's memory is a limit in any case.
    flops: forward FLOPs for one sample.
    """

    parameters: int | None = None
    memory_mb: float | None = None
    flops: float | None = None

    def check(self, cost: Cost) -> tuple[Check, ...]:
        """Return one check for each limit that is set.

        Raises:
            RefusedError: if a limit is exceeded.
        """
        measured = (
            ("parameters", cost.parameters, self.parameters),
            ("memory_mb", cost.memory_mb, self.memory_mb),
            ("flops", cost.flops, self.flops),
        )
        checks = tuple(
            Check(name=name, passed=value <= limit, value=float(value), limit=f"<= {limit:g}")
            for name, value, limit in measured
            if limit is not None
        )
        over = tuple(check for check in checks if not check.passed)
        if over:
            raise RefusedError(f"costs too much: {Gate(checks=over).describe()}")
        if cost.memory_mb > machine_memory_mb():
            raise RefusedError(
                f"costs too much: memory_mb {cost.memory_mb:.4g} "
                f"(this machine has {machine_memory_mb():.4g})"
            )
        return checks


class Maker:
    """Makes kernels within limits and caches probe results.  Thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._results: dict[tuple[Any, ...], ProbeResult] = {}
        self._lock = Lock()

    def make(self, request: Request, *, in_background: bool = False) -> Kernel:
        """Return a kernel that passes its validation and is within the limits.

        Raises:
            RefusedError: if it fails its validation or costs too much.
            Exception: whatever a user's blueprint or kernel raises.
        """
        # Checked before it is built: a kernel far too large would exhaust the machine's memory.
        checks = self._limits.check(request.cost)
        result, validate_ms = self._probe(request, in_background)
        if not result.gate.passed:
            raise RefusedError(f"is not sane: {result.gate.describe()}")
        began = time.perf_counter()
        with drawing(request.weights, in_background=in_background):
            module = build(request, in_background=in_background)
        build_ms = (time.perf_counter() - began) * 1e3
        return Kernel(
            module=module,
            blueprint=request.recipe.name,
            parameters=request.cost.parameters,
            trainable=request.cost.trainable,
            flops=request.cost.flops,
            latency_ms=result.latency_ms,
            gate=Gate(checks=(*result.gate.checks, *checks)),
            work=BuildTimes(build_ms=build_ms, validate_ms=validate_ms),
        )

    def _probe(self, request: Request, in_background: bool) -> tuple[ProbeResult, float | None]:
        """Return the result of the probe and its duration in ms, None if it was cached."""
        key = request.key
        with self._lock:
            known = self._results.pop(key, None)
            if known is not None:
                self._results[key] = known  # the dictionary is in order of use
                return known, None
        began = time.perf_counter()
        result = validate(request, in_background=in_background)
        validate_ms = (time.perf_counter() - began) * 1e3
        with self._lock:
            self._results[key] = result
            if len(self._results) > MAX_RESULTS:
                del self._results[next(iter(self._results))]
        return result, validate_ms
