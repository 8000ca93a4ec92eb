"""An exponential average of a network's weights, over the last epoch or so of training steps.

    mean <- mean + (weights - mean) * (1 - (1 - w)^k)     w = 1 / (epochs * steps of an epoch)

after every k optimizer steps, each of which counts for w: the weights after the k-th stand for all
of them.  k is the least number that counts for `SHARE`, and smaller where the average is read.

Averaged weights are compared and kept instead of the last ones, because the noise of single steps
moves a loss by several times what a kernel brings (Polyak and Juditsky 1992; Izmailov et al. 2018).
Buffers such as running statistics are averaged too; blend factors and whole numbers are not, nor
is a buffer with infinite elements, such as an attention mask, whose average would not be a number.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from operator import is_not

import torch
from torch import Tensor, nn

from esper.growth.bank import KernelBank
from esper.probe.modules import modules_of
from esper.probe.tensors import Tensors

SHARE = 1 / 8
"""Share that steps must have together before the average takes in their weights.

Weights a few steps apart are nearly equal, and a pass over all of them at each step would be most
of what slots of dormant seeds cost a small network.
"""

_LOW_PRECISION = (torch.float16, torch.bfloat16)


class WeightAverage:
    """The average of a model's floating-point parameters and buffers.

    epochs: length of the average in epochs; 0 makes it equal to the weights of the last step.
    mean: the average by name, as in `probe.tensors`; low precision is averaged in float32.
    waiting: share in [0, 1) of the steps since the mean last took in weights.
    """

    def __init__(self, model: nn.Module, epochs: float) -> None:
        self.model, self.epochs = model, epochs
        self.mean: dict[str, Tensor] = {}
        self.waiting = 0.0
        self._collect()

    def follow(self) -> None:
        """Take up tensors that the model has gained, at their present values; drop lost ones."""
        self.catch_up()
        self._collect()

    @torch.no_grad()
    def _collect(self) -> None:
        self._tensors = _averaged(self.model)
        self._owned = _owned(self.model)
        self._held = [list(table.values()) for table in self._owned]
        means = {}
        for name, tensor in self._tensors.items():
            mean = self.mean.get(name)
            fits = mean is not None and mean.shape == tensor.shape
            means[name] = mean.to(tensor.device) if fits and mean is not None else _copy(tensor)
        self.mean = means
        # Lists made once, because a step of a small network takes less than half a millisecond.
        self._here, self._means = list(self._tensors.values()), list(means.values())
        pairs = zip(self._here, self._means, strict=True)
        self._is_alike = all(tensor.dtype == mean.dtype for tensor, mean in pairs)

    def reset(self) -> None:
        """Start again from the present weights."""
        self.load({})

    def update(self, steps_per_epoch: int) -> None:
        """Count a training step, and add the weights if they are due."""
        weight = min(1.0, 1 / (self.epochs * steps_per_epoch)) if self.epochs else 1.0
        self.waiting += (1 - self.waiting) * weight
        if self.waiting >= SHARE:
            self.catch_up()

    def _is_stale(self) -> bool:
        """Return whether a module holds other tensors than those collected, assigned since."""
        if list(map(len, self._owned)) != list(map(len, self._held)):
            return True
        now = chain.from_iterable([table.values() for table in self._owned])
        return any(map(is_not, now, chain.from_iterable(self._held)))

    @torch.no_grad()
    def catch_up(self) -> None:
        """Add the present weights for the steps since they were last added."""
        if self._is_stale():
            self._collect()
        weight, self.waiting = self.waiting, 0.0
        if not weight:
            return
        now = self._here
        if not self._is_alike:
            now = [each.to(mean.dtype) for each, mean in zip(now, self._means, strict=True)]
        torch._foreach_lerp_(self._means, now, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model its averaged weights for a block, then its own back."""
        self.catch_up()
        with torch.no_grad():
            now = self._here
            before = [tensor.clone() for tensor in now]
            _write(now, self._means)
        try:
            yield
        finally:
            with torch.no_grad():
                _write(now, before)

    @torch.no_grad()
    def adopt(self) -> None:
        """Give the model its averaged weights for good."""
        self.catch_up()
        _write(self._here, self._means)

    def load(self, mean: Tensors, waiting: float = 0.0) -> None:
        """Load the averages saved from `mean` and `waiting`, for a model with the same tensors."""
        self.mean = {name: each.clone() for name, each in mean.items() if each is not None}
        self.waiting = waiting
        self._collect()


def _owned(model: nn.Module) -> list[Mapping[str, Tensor | None]]:
    """Return the modules' own tables of parameters and buffers."""
    modules = [module for module in modules_of(model) if not isinstance(module, KernelBank)]
    return [*(module._parameters for module in modules), *(module._buffers for module in modules)]


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model that are averaged, each under one name."""
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    for owner, module in model.named_modules():
        # A bank's own buffers are the blend factors, which the control step sets.
        if not isinstance(module, KernelBank):
            prefix = f"{owner}." if owner else ""
            tensors |= {prefix + n: b for n, b in module._buffers.items() if b is not None}
    seen: dict[int, str] = {}
    for name, tensor in tensors.items():
        is_number = tensor.is_floating_point() or tensor.is_complex()
        if is_number and _is_writable(tensor) and _is_learned_or_finite(tensor):
            seen.setdefault(id(tensor), name)
    return {name: tensors[name] for name in seen.values()}


def _is_writable(tensor: Tensor) -> bool:
    """Return whether each element has memory of its own, unlike in an expanded view."""
    return all(size <= 1 or step for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def _is_learned_or_finite(tensor: Tensor) -> bool:
    return tensor.requires_grad or bool(tensor.isfinite().all())


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to(_dtype(tensor), copy=True)


def _dtype(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.dtype in _LOW_PRECISION else tensor.dtype


def _write(tensors: list[Tensor], values: list[Tensor]) -> None:
    if tensors:
        torch._foreach_copy_(tensors, values)
