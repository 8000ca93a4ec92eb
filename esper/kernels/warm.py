"""Run a compiled kernel once in each way that training runs it, so that it compiles before that.

As a program it does so for a list of kernels given as JSON, in a process of its own: what torch
keeps on disk of it then serves the process that trains.

    echo '{"threads": 1, "kernels": [{"blueprint": "mlp", "kind": "dense", "in_shape": [8],
           "out_shape": [8], "dtype": "float32", "device": "cpu"}]}' \
        | python -m esper.kernels.warm
"""

import contextlib
import copy
import json
import os
import sys
from typing import Any

import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.contracts.slot import SlotKind
from esper.kernels.compiled import Compiled, compiled_of, install
from esper.kernels.request import Request
from esper.probe.rng_state import RngState, restored

WAYS = ((True, True, False), (True, True, True), (False, False, False))
"""Train mode, with a graph, from an input with one: isolated; blended; and in an evaluation."""

BATCH = 32
NICENESS = 10
_SEED, _SPREAD, _TOLERANCE = 1, 0.05, 1e-2


class DiffersError(RuntimeError):
    """What was compiled does not give what it was compiled from."""


def warm_up(module: nn.Module, request: Request) -> None:
    """Compile a module that `install` was called on; the module itself is not run.

    Raises:
        DiffersError: if the compiled kernel gives something else.
        Exception: whatever compilers raise.
    """
    like = torch.empty(0, dtype=request.dtype, device=request.device)
    _warm_up(module, request.spec.in_shape, like)


def _warm_up(module: nn.Module, in_shape: tuple[int, ...], like: Tensor) -> None:
    compiled = compiled_of(module)
    assert compiled is not None, "the module runs compiled"
    generator = torch.Generator().manual_seed(_SEED)
    with torch.inference_mode(False), restored(RngState.now()):
        probe = copy.deepcopy(module)
        with torch.no_grad():
            # Weights of 0, as a kernel is born with, would hide what is computed before them.
            for weight in probe.parameters():
                noise = torch.randn(weight.shape, generator=generator).to(weight)
                weight.add_(_SPREAD * noise)
        batch = torch.randn((BATCH, *in_shape), generator=generator).to(like)
        for way in WAYS:
            _run(compiled, probe, batch, way)


def _run(compiled: Compiled, probe: nn.Module, batch: Tensor, way: tuple[bool, bool, bool]) -> None:
    training, with_graph, from_graph = way
    probe.train(training)
    with torch.set_grad_enabled(with_graph):
        output = compiled.attempt(probe, batch.clone().requires_grad_(from_graph))
        if output.requires_grad:
            output.sum().backward()
    if not training:
        expected = type(probe).forward(probe, batch)
        if not torch.allclose(output, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise DiffersError(f"it is off by {float((output - expected).abs().max()):.3g}")


def main() -> None:
    """Compile what the standard input lists; write a byte at each begin, and one at the end."""
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    for kernel in asked["kernels"]:
        _tell()
        # The process that trains meets the same error, and tells of it.
        with contextlib.suppress(Exception):
            _compile(kernel)
    _tell()


def _tell() -> None:
    sys.stdout.write(".")
    sys.stdout.flush()


def _compile(asked: dict[str, Any]) -> None:
    in_shape = tuple(asked["in_shape"])
    like = torch.empty(0, dtype=getattr(torch, asked["dtype"]), device=asked["device"])
    recipe = catalogue.get(asked["blueprint"])
    module = recipe.build(SlotKind(asked["kind"]), in_shape, tuple(asked["out_shape"]))
    module = module.to(device=like.device, dtype=like.dtype)
    install(module, Compiled(lambda _: None))
    _warm_up(module, in_shape, like)


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # training goes first
    main()
