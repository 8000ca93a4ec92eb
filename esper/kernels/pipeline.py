"""The kernel pipeline of one run.

    blueprint -> build -> validate -> ready -> compile, if `kernels.compile` is on

A kernel is a function of its request.  Preparing it ahead and caching the result of its probe
change only the latency.
"""

import time
from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from esper.blueprint.base import Blueprint
from esper.contracts.event import Recovery
from esper.kernels.background import Background
from esper.kernels.compiler import Compiler
from esper.kernels.kernel import Kernel, kernel_errors
from esper.kernels.make import Limits, Maker
from esper.kernels.options import Kernels
from esper.kernels.request import Request

SLOW_MS = 50.0
"""Blueprints whose last build took longer are built ahead, in the background."""

AHEAD_MB = 256.0
"""Upper limit of the weights kept ready, in MiB."""


class KernelPipeline:
    """Makes the kernels of a run.

    rng_seed: determines the initial weights of all kernels.
    maker: makes them, and remembers the probes.
    compiler: None if kernels are not compiled.
    """

    def __init__(
        self,
        options: Kernels,
        rng_seed: int,
        *,
        parameter_budget: int | None = None,
        memory_budget_mb: float | None = None,
    ) -> None:
        self.rng_seed = rng_seed
        limits = Limits(
            parameters=parameter_budget, memory_mb=memory_budget_mb, flops=options.max_flops
        )
        self.maker = Maker(limits)
        self._background = Background(self._make_ahead)
        self.compiler = Compiler() if options.compile else None
        self._build_ms: dict[Blueprint, float] = {}

    def ahead(self, requests: Iterable[Request]) -> None:
        """Prepare in the background those of `requests` whose blueprints are slow to build.

        They are not compiled ahead: torch's compiler restores the global random generators, which
        would rewind them during training.
        """
        slow: list[Request] = []
        room = AHEAD_MB * 2**20
        if any(build_ms > SLOW_MS for build_ms in self._build_ms.values()):
            for request in requests:
                num_bytes = request.cost.parameters * request.dtype.itemsize
                is_slow = self._build_ms.get(request.recipe, 0.0) > SLOW_MS
                if is_slow and request.is_thread_safe and num_bytes <= room:
                    room -= num_bytes
                    slow.append(request)
        self._background.prepare(slow)

    def take(self, request: Request) -> Kernel:
        """Return the kernel for a request; wait for it if it is being prepared.

        Raises:
            KernelError: if the blueprint raises, or its kernel fails validation or costs too much.
        """
        began = time.perf_counter()
        with kernel_errors(request.slot, request.seed, request.recipe.name):
            kernel = self._background.take(request) or self.maker.make(request)
        self._build_ms[request.recipe] = kernel.work.build_ms
        wait_ms = (time.perf_counter() - began) * 1e3
        return replace(kernel, work=replace(kernel.work, wait_ms=wait_ms))

    def compiled(self, request: Request, kernel: Kernel) -> Kernel:
        """Return a kernel from `take`, compiled if `kernels.compile` is on.

        A kernel that cannot be compiled runs eagerly; `drain` returns the reason.
        """
        if self.compiler is None:
            return kernel
        began, num_graphs = time.perf_counter(), self.compiler.num_graphs
        self.compiler.compile(request, kernel.module)
        compile_ms = (time.perf_counter() - began) * 1e3
        work = replace(kernel.work, compile_ms=compile_ms, wait_ms=kernel.work.wait_ms + compile_ms)
        return replace(kernel, graphs=self.compiler.num_graphs - num_graphs, work=work)

    def compile(self, kernels: Iterable[tuple[Request, nn.Module]]) -> None:
        """Compile kernels that are in a network already: those of twins and of checkpoints."""
        if self.compiler is not None:
            for request, module in kernels:
                self.compiler.compile(request, module)

    def drain(self) -> list[Recovery]:
        """Return the failures of the compiler since the last call."""
        return [] if self.compiler is None else self.compiler.drain()

    def close(self) -> None:
        """Drop all prepared kernels and end the background thread."""
        self._background.close()

    def _make_ahead(self, request: Request) -> Kernel:
        kernel = self.maker.make(request, in_background=True)
        ahead_ms = kernel.work.build_ms + (kernel.work.validate_ms or 0.0)
        return replace(kernel, work=replace(kernel.work, ahead_ms=ahead_ms))


def build_kernel(request: Request) -> Kernel:
    """Return the kernel for a request; its only limit is the machine's memory.

    Raises:
        KernelError: if the blueprint raises or its kernel fails validation.
    """
    with kernel_errors(request.slot, request.seed, request.recipe.name):
        return Maker(Limits()).make(request)
