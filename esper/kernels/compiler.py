"""Compile the kernels of a run with torch's own compiler; one that fails runs eagerly.

This does what `nn.Module.compile` does, and two things more.  All kernels of a kind share one
compiled function, so that a twin's kernel, or the next one of the kind, compiles nothing.  And a
failure (an error, a graph break, the recompile limit) leaves the kernels of the kind eager, and is
recorded.
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
"""Train mode, gradients on, input with gradient: isolated; blended; and in an evaluation."""

BATCH = 32

_LIMITS: dict[str, Any] = {"isolate_recompiles": True, "recompile_limit": 16}
"""Each kind of kernel has a limit of its own, enough for `WAYS` at large, small and single batches.

As a dictionary, since the annotations of `torch.compile` lack these two arguments.
"""


class Compiler:
    """The compiled functions of a run, one for each kind of kernel."""

    def __init__(self) -> None:
        self._recoveries: list[Recovery] = []
        self._functions: dict[tuple[Any, ...], CompiledFunction] = {}

    @property
    def num_graphs(self) -> int:
        """How many graphs were compiled so far."""
        return sum(function.num_graphs for function in self._functions.values())

    def compile(self, request: Request, module: nn.Module) -> None:
        """Make a kernel run compiled; copies of it run eagerly until they are compiled too.

        The first kernel of a kind is compiled at once, on a copy.
        """
        function = self._functions.get(request.key)
        if function is None:
            function = CompiledFunction(partial(self._record, request))
            self._functions[request.key] = function
            # A compiler can raise anything, in the backward pass too: a boundary as below.
            try:
                _warm_up(function, module, request)
            except Exception as error:  # noqa: BLE001
                function.give_up(error)
        module._compiled_call_impl = partial(function, module)

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
    """Runs kernels of one kind compiled, and eagerly from the first failure on.

    num_graphs: how many graphs were compiled.
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
            # A compiler can raise anything, so this is a boundary that takes any exception; the
            # kernel's own errors come again from the eager call.
            except Exception as error:  # noqa: BLE001
                self.give_up(error)
        module._compiled_call_impl = None
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
    from torch._inductor.compile_fx import compile_fx  # takes seconds: only where it is needed

    # One thread: the compiler's pool of processes would outlive the run.
    return compile_fx(graph, inputs, config_patches={"compile_threads": 1})


def _call(module: nn.Module, x: Tensor) -> Any:
    return module(x)


def _warm_up(function: CompiledFunction, module: nn.Module, request: Request) -> None:
    """Compile a kernel in each way that a run calls it, forward and backward, on a copy."""
    with torch.inference_mode(False), restored(RngState.now()):
        probe = copy.deepcopy(module)
        shape = (BATCH, *request.spec.in_shape)
        for training, with_graph, from_graph in WAYS:
            probe.train(training)
            x = torch.zeros(shape, dtype=request.dtype, device=request.device)
            # One graph serves all sizes of batches.
            torch._dynamo.maybe_mark_dynamic(x, 0)
            with torch.set_grad_enabled(with_graph):
                output = function(probe, x.requires_grad_(from_graph))
                if output.requires_grad:
                    output.sum().backward()
