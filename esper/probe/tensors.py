"""Read and write all parameters and buffers of a network by name.

In contrast to a state dict, they include buffers that are not persistent or None.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.errors import CheckpointError

Tensors = dict[str, Tensor | None]
"""Parameters and buffers by name; an unset buffer is None, tied buffers are one object."""


def copied(tree: Any, seen: dict[int, Tensor] | None = None) -> Any:
    """Return a copy of dicts, lists and tensors; a tensor that occurs twice stays one.

    `copy.deepcopy` does the same, but takes much of a control step's time.
    """
    seen = {} if seen is None else seen
    if isinstance(tree, dict):
        return {key: copied(value, seen) for key, value in tree.items()}
    if isinstance(tree, list):
        return [copied(value, seen) for value in tree]
    if isinstance(tree, Tensor):
        return seen[id(tree)] if id(tree) in seen else seen.setdefault(id(tree), tree.clone())
    return tree


def weights_norm(model: nn.Module) -> float:
    """Return the L2 norm of all parameters; infinite if it is not finite."""
    weights = [weight.detach() for weight in model.parameters()]
    plain = [each if each.is_floating_point() else each.abs().double() for each in weights]
    norms = (
        [float(norm) for norm in torch._foreach_norm(plain, dtype=torch.float64)] if plain else []
    )
    return math.inf if any(map(math.isnan, norms)) else math.hypot(*norms)


def tensors_of(model: nn.Module) -> Tensors:
    """Return the network's parameters and buffers, detached but not copied."""
    tensors: Tensors = {name: p.detach() for name, p in model.named_parameters()}
    seen: dict[int, Tensor] = {}
    for owner, module in model.named_modules():
        # `named_buffers` omits buffers that are None, and further names of one tensor.
        for name, buffer in module._buffers.items():
            path = f"{owner}.{name}" if owner else name
            tensors[path] = None if buffer is None else seen.setdefault(id(buffer), buffer.detach())
    return tensors


def check_names(model: nn.Module, tensors: Tensors) -> None:
    """Raise `CheckpointError` if a name is missing in the model or in `tensors`."""
    unmatched = sorted(tensors_of(model).keys() ^ tensors.keys())
    if unmatched:
        raise CheckpointError(
            f"the checkpoint is of another network: '{unmatched[0]}' is in only one of them"
        )


@torch.no_grad()
def put_tensors(model: nn.Module, tensors: Tensors) -> None:
    """Copy values in place into the parameters and buffers of the same names.

    A buffer that is None, has another shape or type, or is an expanded view is replaced by a copy.

    Raises:
        CheckpointError: if a parameter has another shape or type.
    """
    parameters = dict(model.named_parameters())
    for name, here in parameters.items():
        there = tensors.get(name)
        if there is None:
            continue
        if here.shape != there.shape or here.dtype != there.dtype:
            raise CheckpointError(
                f"the checkpoint is of another network: '{name}' is {there.dtype} "
                f"{tuple(there.shape)} there, {here.dtype} {tuple(here.shape)} here"
            )
        here.copy_(there)
    buffers = {name: tensor for name, tensor in tensors.items() if name not in parameters}
    _put_buffers(model, buffers)


def _put_buffers(model: nn.Module, buffers: Mapping[str, Tensor | None]) -> None:
    default_device = next(model.parameters(), torch.empty(0)).device
    written: dict[int, Tensor] = {}
    replaced: dict[int, Tensor] = {}
    for name, value in buffers.items():
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        here = getattr(module, attribute)
        if value is None:
            setattr(module, attribute, None)
        elif here is not None and _takes(here, value) and written.get(id(here), value) is value:
            here.copy_(value)
            written[id(here)] = value
        else:
            device = default_device if here is None else here.device
            setattr(module, attribute, replaced.setdefault(id(value), value.to(device, copy=True)))


def _takes(here: Tensor, value: Tensor) -> bool:
    """Return whether the values can be copied into a buffer in place."""
    overlaps = any(
        size > 1 and not step for size, step in zip(here.shape, here.stride(), strict=True)
    )
    return here.shape == value.shape and here.dtype == value.dtype and not overlaps
