"""Find out whether a slot's kernels would be reached, by running the host with empty slots."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.growth.attach import BANK, Slotted, attach, detach
from esper.growth.bank import KernelBank
from esper.probe.modes import eval_mode
from esper.probe.rng_state import RngState, restored

BYPASSED = "its output is computed without calling it the way that its class says"
A_LAYER = "its forward iterates over its submodules and would take kernels for one of them"

_CONFUSED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a forward may raise that finds a submodule which it does not know."""


class _EmptyBank(KernelBank):
    """Tells how it was called; adds nothing."""

    def __init__(self) -> None:
        super().__init__(Placement.SERIES)
        self.was_mixed = self.was_layer = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Note the call and hand on what came."""
        del kwargs
        self.was_layer = True
        return args[0] if args else None

    def mix(self, host: Any, block_input: Any) -> Any:
        """Note the call and hand on the host's output."""
        del block_input
        self.was_mixed = True
        return host


def unreachable(model: nn.Module, example_input: Any, names: Sequence[str]) -> dict[str, str]:
    """Return, by path, why kernels cannot sit in some of the modules.

    All are tried in one forward pass, and one by one where that one goes astray.  The model is
    left as it was.
    """
    expected = _run(model, example_input)
    found = _trial(model, example_input, names, expected)
    if found is not None:
        return found
    reasons: dict[str, str] = {}
    for name in names:
        alone = _trial(model, example_input, [name], expected)
        reasons.update({name: A_LAYER} if alone is None else alone)
    return reasons


def _trial(
    model: nn.Module, example_input: Any, names: Sequence[str], expected: Any
) -> dict[str, str] | None:
    """Return what is wrong with which module, None when the pass raised or gave something else."""
    banks = {name: _EmptyBank() for name in names}
    fresh = [name for name in names if not isinstance(model.get_submodule(name), Slotted)]
    for name, bank in banks.items():
        attach(model.get_submodule(name))
        model.get_submodule(name).add_module(BANK, bank)
    try:
        same = _equal(_run(model, example_input), expected)
    except _CONFUSED:
        same = False
    finally:
        for name in names:
            delattr(model.get_submodule(name), BANK)
        for name in fresh:
            detach(model.get_submodule(name))
    if not same:
        return None
    layers = {name: A_LAYER for name, bank in banks.items() if bank.was_layer}
    return {name: BYPASSED for name, bank in banks.items() if not bank.was_mixed} | layers


def _run(model: nn.Module, example_input: Any) -> Any:
    with eval_mode(model), torch.no_grad(), restored(RngState.now()):
        return model(example_input)


def _equal(one: Any, other: Any) -> bool:
    """Compare outputs as far as they are tensors; NaN equals NaN."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.is_nested:
        return type(one) is type(other)
    return torch.equal(one.nan_to_num(), other.nan_to_num())
