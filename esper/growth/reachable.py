"""Check that a host would run a slot's kernels, by running it with slots that add nothing."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.growth.attach import put_bank
from esper.growth.bank import KernelBank
from esper.probe.modes import eval_mode
from esper.probe.rng_state import RngState, restored

BYPASSED = "its output is computed without calling it the way that its class says"
A_LAYER = "its forward iterates over its submodules and would take kernels for one of them"

_CONFUSED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of a forward that iterates over its submodules and meets an unknown one."""


class _EmptyBank(KernelBank):
    """A bank without kernels that records how it was called."""

    def __init__(self) -> None:
        super().__init__(Placement.SERIES)
        self.was_mixed = self.was_layer = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Record the call and return the first argument."""
        del kwargs
        self.was_layer = True
        return args[0] if args else None

    def mix(self, host: Any, block_input: Any) -> Any:
        """Record the call and return the host's output."""
        del block_input
        self.was_mixed = True
        return host


def unreachable(model: nn.Module, example_input: Any, names: Sequence[str]) -> dict[str, str]:
    """Return why some of the modules cannot hold kernels, by path; the model does not change.

    Tries all of them in one forward pass.  If that fails, tries each in a pass of its own.
    """
    expected = _run(model, example_input)
    together = _trial(model, example_input, names, expected)
    if together is not None:
        return together
    reasons: dict[str, str] = {}
    for name in names:
        alone = _trial(model, example_input, [name], expected)
        reasons |= {name: A_LAYER} if alone is None else alone
    return reasons


def _trial(
    model: nn.Module, example_input: Any, names: Sequence[str], expected: Any
) -> dict[str, str] | None:
    """Return the reasons by path; None if the pass raised or changed the output."""
    banks = {name: _EmptyBank() for name in names}
    for name, bank in banks.items():
        put_bank(model.get_submodule(name), bank)
    try:
        same = _equal(_run(model, example_input), expected)
    except _CONFUSED:
        same = False
    finally:
        for name in names:
            put_bank(model.get_submodule(name), None)
    if not same:
        return None
    layers = {name: A_LAYER for name, bank in banks.items() if bank.was_layer}
    return {name: BYPASSED for name, bank in banks.items() if not bank.was_mixed} | layers


def _run(model: nn.Module, example_input: Any) -> Any:
    with eval_mode(model), torch.no_grad(), restored(RngState.now()):
        return model(example_input)


def _equal(one: Any, other: Any) -> bool:
    """Compare two outputs: tensors by value (NaN equals NaN), all else by type."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.is_nested:
        return type(one) is type(other)
    return torch.equal(one.nan_to_num(), other.nan_to_num())
