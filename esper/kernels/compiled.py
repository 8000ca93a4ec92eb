"""Compile a kernel by itself: the host never recompiles, and every graph is counted.

Each kernel has code objects of its own.  What torch compiles is cached by code object, and at its
limit of 8 graphs it goes on without compiling; `nn.Module.compile` lets all kernels share one, that
of torch's own wrapper.  Here the limit, and whatever else fails, ends in an error, and the error in
a kernel that runs eagerly from then on: a fallback that is told.
"""

import copy
from collections.abc import Callable
from itertools import count
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

_numbers = count()


class Compiled:
    """The compiled forward of one kernel and of its copies.

    graphs: how many were compiled.
    problem: why it runs eagerly, None while it does not.
    """

    def __init__(self, tell: Callable[[Exception], None]) -> None:
        self.graphs = 0
        self.problem: str | None = None
        self._tell = tell
        self._variants: dict[tuple[bool, bool, bool], Any] = {}

    def run(self, module: nn.Module, x: Tensor) -> Any:
        """Return what the module's class gives for `x`, compiled where that is possible."""
        if self.problem is not None or torch.compiler.is_compiling():
            return _forward(module, x)
        try:
            return self.attempt(module, x)
        # What a compiler raises is anybody's guess, so this is a boundary that takes any exception;
        # an error of the kernel itself comes again, and is the caller's.
        except Exception as error:  # noqa: BLE001
            output = _forward(module, x)
            self.give_up(error)
            return output

    def attempt(self, module: nn.Module, x: Tensor) -> Any:
        """Return what the module's class gives for `x`, compiled.

        Raises:
            Exception: if it cannot be compiled, or cannot be run.
        """
        variant = (module.training, torch.is_grad_enabled(), x.requires_grad)
        if variant not in self._variants:
            torch._dynamo.maybe_mark_dynamic(x, 0)
            self._variants[variant] = self._new_variant()
        return self._variants[variant](module, x)

    def give_up(self, error: Exception) -> None:
        """Run eagerly from now on, and tell why."""
        self.problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        self._variants.clear()
        self._tell(error)

    def _new_variant(self) -> Any:
        # The name is part of what torch remembers shapes by: one kernel's are not another's.
        name = f"esper_kernel_{next(_numbers)}"
        code = _forward.__code__.replace(co_name=name, co_qualname=name)
        function = FunctionType(code, _forward.__globals__, name)
        return torch.compile(function, fullgraph=True, backend=self._backend)

    def _backend(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return lower(graph, inputs)


class CompiledForward:
    """Stands in for the `forward` of one module.  A copy of the module has its own, same graphs."""

    def __init__(self, module: nn.Module, compiled: Compiled) -> None:
        self.module, self.compiled = module, compiled

    def __call__(self, x: Tensor) -> Any:
        """Return what the module gives for `x`."""
        return self.compiled.run(self.module, x)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledForward":
        return CompiledForward(copy.deepcopy(self.module, memo), self.compiled)

    def __reduce__(self) -> Any:
        """Leave what was compiled behind: where it is read back, the module runs eagerly."""
        return _eager_forward, (self.module,)


def install(module: nn.Module, compiled: Compiled) -> None:
    """Make a module run compiled; its parameters' and buffers' names stay as they are."""
    module.forward = CompiledForward(module, compiled)


def compiled_of(module: nn.Module) -> Compiled | None:
    """Return what a module runs, None where it is not compiled."""
    forward = vars(module).get("forward")
    return forward.compiled if isinstance(forward, CompiledForward) else None


def lower(graph: Any, inputs: Any) -> Any:
    """Return machine code for a graph, by torch's own compiler."""
    from torch._inductor.compile_fx import compile_fx  # seconds: only for those who compile

    # One thread: the compiler's pool of processes would outlive the run.
    return compile_fx(graph, inputs, config_patches={"compile_threads": 1})


def _forward(module: nn.Module, x: Tensor) -> Any:
    """Return what the module's class gives: an instance's own `forward` is passed by."""
    return type(module).forward(module, x)


def _eager_forward(module: nn.Module) -> Any:
    return type(module).forward.__get__(module)
