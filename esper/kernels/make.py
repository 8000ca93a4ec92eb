"""Make one kernel: its budget, then the verdict on its kind, then the kernel itself."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.event import Check, Gate
from esper.kernels.build import BuildMode, build, drawing
from esper.kernels.cache import VerdictCache
from esper.kernels.kernel import BuildTimes, Kernel
from esper.kernels.key import Key, key_of
from esper.kernels.options import Kernels
from esper.kernels.request import Request
from esper.kernels.validate import Allow, ProbeResult, counts, validate


class RefusedError(ValueError):
    """A kernel is not sane or costs too much; the text says what was measured."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A verdict and what it took: finding it out, or reading it from the disk."""

    verdict: ProbeResult
    validate_ms: float | None = None
    load_ms: float | None = None


class Maker:
    """Makes kernels within budgets; remembers its verdicts in a cache."""

    def __init__(self, options: Kernels, cache: VerdictCache) -> None:
        self.options, self.cache = options, cache

    def make(self, request: Request, where: BuildMode) -> Kernel:
        """Return a kernel that is sane and within its budgets.

        Raises:
            RefusedError: if it is not sane or costs too much.
            Exception: what a user's blueprint or kernel raises.
        """
        # Before it is built: one that is far too large would take the machine's memory with it.
        cost = request.cost
        self._check_budget(cost.parameters, cost.parameters, cost.flops)
        key = key_of(request)
        judged = self._judge(request, key, where)
        began = time.perf_counter()
        module = _drawn(request, where)
        build_ms = (time.perf_counter() - began) * 1e3
        parameters, trainable = counts(module)
        if judged.validate_ms is None and not judged.verdict.counts_right(module):
            assert key is not None, "the verdict was known"
            told = f"it counts {judged.verdict.parameters} parameters, a kernel has {parameters}"
            self.cache.distrust(key, told)
            judged = self._judge(request, key, where)
        if not judged.verdict.counts_right(module):
            raise RefusedError(
                f"is not the same twice: {judged.verdict.parameters} parameters, "
                f"{judged.verdict.trainable} of them trainable, then {parameters} and {trainable}"
            )
        budget = self._check_budget(parameters, trainable, cost.flops)
        return Kernel(
            module=module,
            blueprint=request.recipe.name,
            parameters=parameters,
            trainable=trainable,
            flops=cost.flops,
            latency_ms=judged.verdict.latency_ms,
            gate=Gate(checks=(*judged.verdict.gate.checks, *budget)),
            work=BuildTimes(
                build_ms=build_ms, validate_ms=judged.validate_ms, load_ms=judged.load_ms
            ),
        )

    def _judge(self, request: Request, key: Key | None, where: BuildMode) -> _Judged:
        """Return the verdict on a kind of kernel, if it is a good one."""
        known = None if key is None else self.cache.get(key)
        if known is not None:
            judged = _Judged(known.verdict, load_ms=known.load_ms)
        else:
            began = time.perf_counter()
            verdict = validate(request, where, self._limits(request))
            judged = _Judged(verdict, validate_ms=(time.perf_counter() - began) * 1e3)
            if key is not None:
                self.cache.put(key, verdict)
        if not judged.verdict.gate.passed:
            raise RefusedError(f"is not sane: {judged.verdict.gate.describe()}")
        return judged

    def _limits(self, request: Request) -> Allow:
        """Return what refuses a probe that costs too much, whatever its blueprint declares."""
        return lambda found, learning: self._check_budget(found, learning, request.cost.flops)

    def _check_budget(self, parameters: int, trainable: int, flops: float) -> Sequence[Check]:
        """Return the checks of the limits that are set.

        Raises:
            RefusedError: if one is exceeded.
        """
        options = self.options
        memory_mb = kernel_memory_mb(parameters, trainable)
        found = (
            ("parameters", parameters, options.max_parameters),
            ("memory_mb", memory_mb, options.max_memory_mb),
            ("flops", flops, options.max_flops),
        )
        checks = [
            Check(name=name, passed=value <= limit, value=float(value), limit=f"<= {limit:g}")
            for name, value, limit in found
            if limit is not None
        ]
        over = tuple(check for check in checks if not check.passed)
        if over:
            raise RefusedError(f"costs too much: {Gate(checks=over).describe()}")
        return checks


def _drawn(request: Request, where: BuildMode) -> nn.Module:
    with drawing(request.weights, where):
        return build(request, where)
