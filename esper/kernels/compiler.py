"""Compile the kernels of a run with torch's compiler; those that fail run eagerly.

In contrast to `nn.Module.compile`, all kernels of a kind share one compiled function, so that a
twin's kernel or the next kernel of the kind is not compiled again.  After a failure (an error, a
graph break, the recompile limit) all kernels of the kind run eagerly, and the failure is recorded.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.event import Recovery
from esper.kernels.errors import first_line
from esper.kernels.request import Request
from esper.probe.rng_state import RngState, restored

WAYS = ((True, True, False), (True, True, True), (False, False, False))
"""Train mode, gradients on, input with gradient: when isolated, blended, and evaluated."""

BATCH = 32

_LIMITS: dict[str, Any] = {"isolate_recompiles": True, "recompile_limit": 16}
"""Each kind has its own limit, enough for `WAYS` with large, small and single-sample batches.

A dictionary, because the annotations of `torch.compile` lack these two arguments.
"""


def _set_call(module: nn.Module, call: Callable[[Tensor], Any] | None) -> None:
    """Make `module(x)` return `call(x)`, or run the module eagerly again if None.

    Sets the private attribute that `nn.Module.compile` sets, which copies and saved files leave
    out.  Tested with torch 2.13.0.
    """
    module._compiled_call_impl = call


class Compiler:
    """The compiled functions of a run, one for each kind of kernel."""

    def __init__(self) -> None:
        self._recoveries: list[Recovery] = []
        self._functions: dict[tuple[Any, ...], CompiledFunction] = {}

    @property
    def num_graphs(self) -> int:
        """Number of graphs compiled so far."""
        return sum(function.num_graphs for function in self._functions.values())

    def compile(self, request: Request, module: nn.Module) -> None:
        """Make a kernel run compiled.  Copies of it run eagerly until they are compiled too.

        The first kernel of a kind triggers the compilation, which runs on a copy.
        """
        function = self._functions.get(request.key)
        if function is None:
            function = CompiledFunction(partial(self._record, request))
            self._functions[request.key] = function
            try:
                _warm_up(function, module, request)
            # Compilers can raise any exception, here in the backward pass.
            except Exception as error:  # noqa: BLE001
                function.give_up(error)
        _set_call(module, partial(function, module))

    def drain(self) -> list[Recovery]:
        """Return the failures since the last call."""
        recoveries, self._recoveries = self._recoveries, []
        return recoveries

    def _record(self, request: Request, error: Exception) -> None:
        self._recoveries.append(
            Recovery(
                where="kernel",
                error=type(error).__name__,
                strategy="fallback",
                recovered=True,
                message=f"it cannot be compiled and runs eagerly: {first_line(error)}",
                slot=request.slot,
                seed=request.seed,
                blueprint=request.recipe.name,
            )
        )


class CompiledFunction:
    """Runs kernels of one kind compiled, and eagerly after the first failure.

    num_graphs: number of graphs compiled so far.
    """

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self.num_graphs = 0
        self._has_failed = False
        self._on_failure = on_failure
        self._run = torch.compile(_call, fullgraph=True, backend=self._backend, **_LIMITS)

    def __call__(self, module: nn.Module, x: Tensor) -> Any:
        """Return the output of a kernel."""
        if not self._has_failed:
            try:
                return self._run(module, x)
            # Compilers can raise any exception.  The eager call repeats the kernel's own errors.
            except Exception as error:  # noqa: BLE001
                self.give_up(error)
        _set_call(module, None)
        return module(x)

    def give_up(self, error: Exception) -> None:
        """Run eagerly from now on."""
        self._has_failed = True
        self._on_failure(error)

    def _backend(self, graph: Any, inputs: Any) -> Any:
        self.num_graphs += 1
        return lower(graph, inputs)


def lower(graph: Any, inputs: Any) -> Any:
    """Return machine code for a graph, made by torch's default compiler."""
    from torch._inductor.compile_fx import compile_fx  # this import takes seconds

    # With more threads the compiler starts processes that outlive the run.
    return compile_fx(graph, inputs, config_patches={"compile_threads": 1})


def _call(module: nn.Module, x: Tensor) -> Any:
    return module(x)


def _warm_up(function: CompiledFunction, module: nn.Module, request: Request) -> None:
    """Call a copy of a kernel in all `WAYS`, forward and backward, so that it is compiled."""
    with torch.inference_mode(False), restored(RngState.now()):
        probe = copy.deepcopy(module)
        shape = (BATCH, *request.spec.in_shape)
        for training, with_graph, from_graph in WAYS:
            probe.train(training)
            x = torch.zeros(shape, dtype=request.dtype, device=request.device)
            # One graph for all batch sizes.
            torch._dynamo.maybe_mark_dynamic(x, 0)
            with torch.set_grad_enabled(with_graph):
                output = function(probe, x.requires_grad_(from_graph))
                if output.requires_grad:
                    output.sum().backward()
