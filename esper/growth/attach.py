"""Attach kernels to a module of a host, in place.

The module's class is replaced by a generated subclass that mixes in the slot, as in
`torch.nn.utils.parametrize`: module paths, `isinstance` and state-dict keys stay the same.
Removing the last kernel restores the user's class, so a slot of dormant seeds costs nothing.
"""

from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

from torch import Tensor, nn

from esper.contracts.slot import Placement, SlotSpec
from esper.growth.bank import KernelBank

BANK = "esper_kernels"
"""Name of the submodule that holds a slot's kernels."""


def is_of_seed(name: str, slot: str, seed: int) -> bool:
    """Return whether a parameter or buffer of a model is of a seed's kernel, or its alpha."""
    bank = ".".join(part for part in (slot, BANK) if part)
    return name == f"{bank}.alpha_{seed}" or name.startswith(f"{bank}.kernels.{seed}.")


class Slotted:
    """Mixin for a module's class; adds the output of the slot's kernels to the module's."""

    _modules: dict[str, nn.Module | None]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the block's output, mixed with that of the slot's kernels if it has any."""
        output = super().forward(*args, **kwargs)  # type: ignore[misc]
        bank = self._modules.get(BANK)
        if not isinstance(bank, KernelBank):
            return output
        return bank.mix(output, first_argument(args, kwargs))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle and copy through the user's class; the generated one has no import path."""
        reduced: Any = super().__reduce_ex__(protocol)
        _, (cls, *arguments), *state = reduced
        if cls is not type(self):
            return reduced
        return _new_slotted, (original_class(cls), *arguments), *state


class _SlottedSequential(Slotted):
    """Hides the kernels from a `Sequential`, which would run them as a layer."""

    def __iter__(self) -> Iterator[nn.Module | None]:
        return iter(self._layers().values())

    def __len__(self) -> int:
        return len(self._layers())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            chosen = OrderedDict(list(self._layers().items())[index])
            return original_class(type(self))(chosen)
        return list(self)[index]

    def _layers(self) -> dict[str, nn.Module | None]:
        return {name: module for name, module in self._modules.items() if name != BANK}


def first_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the first argument of a block's call, None if there is none."""
    return args[0] if args else next(iter(kwargs.values()), None)


@cache
def _slotted_class(cls: type[nn.Module]) -> type[nn.Module]:
    mixin = _SlottedSequential if issubclass(cls, nn.Sequential) else Slotted
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (mixin, cls), names)


def original_class(cls: type) -> type:
    """Return the user's class behind a slotted class; return any other class unchanged."""
    return cls.__bases__[1] if issubclass(cls, Slotted) else cls


def _new_slotted(cls: Any, *arguments: Any) -> nn.Module:
    slotted = _slotted_class(cls)
    return slotted.__new__(slotted, *arguments)


def attach(module: nn.Module) -> None:
    """Give `module` a slot; do nothing if it has one."""
    if not isinstance(module, Slotted):
        module.__class__ = _slotted_class(type(module))  # type: ignore[arg-type]


def detach(module: nn.Module) -> None:
    """Remove an empty slot by restoring the module's own class."""
    assert BANK not in module._modules, "a slot with kernels cannot be detached"
    module.__class__ = original_class(type(module))


def bank_of(module: nn.Module) -> KernelBank | None:
    """Return the kernels of a module, None if it has none."""
    bank = module._modules.get(BANK)
    return bank if isinstance(bank, KernelBank) else None


def kernels_of(module: nn.Module) -> KernelBank:
    """Return the kernels of a module that has at least one."""
    bank = bank_of(module)
    assert bank is not None, "the slot holds no kernels"
    return bank


def put_bank(module: nn.Module, bank: KernelBank | None) -> None:
    """Replace the kernels of `module` by `bank`; None removes the kernels and the slot."""
    module._modules.pop(BANK, None)
    if bank is None:
        detach(module)
    else:
        attach(module)
        module.add_module(BANK, bank)


def put_kernel(
    module: nn.Module, placement: Placement, seed: int, kernel: nn.Module, like: Tensor | None
) -> None:
    """Put an isolated kernel into the slot of `module`, on the device and dtype of `like`."""
    bank = bank_of(module)
    if bank is None:
        bank = KernelBank(placement).train(module.training)
        put_bank(module, bank)
    bank.add(seed, kernel, like)


def describe_kernel(module: nn.Module, spec: SlotSpec, seed: int, blueprint: str) -> None:
    """Note the slot and the blueprint of a kernel: for messages, and for saving the network."""
    bank = kernels_of(module)
    bank.spec, bank.blueprints[str(seed)] = spec, blueprint


def weight_like(module: nn.Module, model: nn.Module) -> Tensor | None:
    """Return a weight whose device and dtype the kernels of `module` in `model` take."""
    weights = chain(module.parameters(), model.parameters())
    return next((weight for weight in weights if weight.is_floating_point()), None)


def take_kernel(module: nn.Module, seed: int) -> nn.Module:
    """Remove a kernel from the slot of `module` and return it; an empty slot is removed too."""
    bank = kernels_of(module)
    kernel = bank.remove(seed)
    if not bank.kernels:
        put_bank(module, None)
    return kernel
