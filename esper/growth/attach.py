"""Give a module of a host a slot, in place.

The module's class is swapped for a generated subclass with the slot mixed in, as
`torch.nn.utils.parametrize` does: module paths, `isinstance` and state-dict keys stay as they were,
and a slot without kernels hands the block's output on untouched.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.growth.blend import Bank

BANK = "esper_kernels"
"""Name of the submodule that holds a slot's kernels while there are any."""


class Slotted:
    """Mixed into a module's class in front of it: adds what the slot's kernels bring."""

    _modules: dict[str, nn.Module | None]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the block's output, plus the kernels' where the slot holds any."""
        output = super().forward(*args, **kwargs)  # type: ignore[misc]
        bank = self._modules.get(BANK)
        if bank is None:
            return output
        return bank(output, args[0] if args else next(iter(kwargs.values())))


class _SlottedSequential(Slotted):
    """A `Sequential` runs whatever it iterates over; the slot's kernels are no layer of it."""

    def __iter__(self) -> Iterator[nn.Module | None]:
        return iter([module for name, module in self._modules.items() if name != BANK])

    def __len__(self) -> int:
        return len(self._modules) - (BANK in self._modules)


@cache
def _slotted_class(cls: type[nn.Module]) -> type[nn.Module]:
    mixin = _SlottedSequential if issubclass(cls, nn.Sequential) else Slotted
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (mixin, cls), names)


def attach(module: nn.Module) -> None:
    """Give `module` a slot; does nothing when it has one."""
    if not isinstance(module, Slotted):
        module.__class__ = _slotted_class(type(module))  # type: ignore[arg-type]


def detach(module: nn.Module) -> None:
    """Take a slot without kernels away again: the module is as it was."""
    assert BANK not in module._modules, "a slot with kernels cannot be detached"
    if isinstance(module, Slotted):
        module.__class__ = type(module).__mro__[2]


def bank_of(module: nn.Module) -> Bank | None:
    """Return the kernels of a slotted module, None while it has none."""
    bank = module._modules.get(BANK)
    return bank if isinstance(bank, Bank) else None


def put_kernel(module: nn.Module, placement: Placement, seed: int, kernel: nn.Module) -> None:
    """Put an isolated kernel into the slot of `module`."""
    bank = bank_of(module)
    if bank is None:
        bank = Bank(placement).train(module.training)
        module.add_module(BANK, bank)
    bank.add(seed, kernel, _first_floating(module))


def take_kernel(module: nn.Module, seed: int) -> nn.Module:
    """Take a kernel out of the slot of `module`, and the bank with the last one."""
    bank = bank_of(module)
    assert bank is not None, "the slot holds no kernels"
    kernel = bank.remove(seed)
    if not bank.kernels:
        delattr(module, BANK)
    return kernel


def _first_floating(module: nn.Module) -> Tensor | None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter
    return None
