"""Flat copies of the weights of dense hosts and of their kernels, padded to common shapes.

    host    stem, then a pair of layers for each of `MAX_SLOTS` places, then the head
    kernel  enter, gate and leave: y = hidden(x) @ leave + its bias

Padding is 0 and gets no gradient: a hidden unit without weights out of it has a gradient of 0, and
so has a weight out of a unit that is 0.  Matrices are (inputs, outputs), the transpose of torch's.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from esper.contracts.slot import SlotKind
from esper.run.episodes.data import FEATURES
from esper.run.episodes.hosts import WIDTH, Dense, EpisodeHost
from esper.run.episodes.task import HIDDEN

MAX_SLOTS = 12
MAX_CLASSES = 10
W = WIDTH[SlotKind.DENSE]
"""Features between the blocks."""

_BLOCK = [W * HIDDEN, HIDDEN, HIDDEN * W, W]
HOST_SIZES = [FEATURES * W, W, *_BLOCK * MAX_SLOTS, W * MAX_CLASSES, MAX_CLASSES]
"""Numbers of each part of a host: weight and bias of each layer in turn."""

UNITS = W
"""Hidden units of the widest kernel."""
KERNEL_SIZES = [W * UNITS, UNITS, W * UNITS, UNITS, UNITS * W, W]
"""Numbers of each part of a kernel: weight and bias of enter, gate and leave in turn."""

BLUEPRINTS = ("mlp", "gated_mlp", "lora", "affine")
"""The blueprints of dense slots in parallel, in the order of their kernels in a place."""

Piece = tuple[Tensor, int, int]
"""A parameter, the place of its part in the flat copy, and the width of that part's matrix."""


def host_pieces(host: EpisodeHost) -> Iterator[Piece]:
    """Return the parameters of a host with their places."""
    blocks = [block for block in host.blocks if isinstance(block, Dense)]
    assert len(blocks) == len(host.blocks) <= MAX_SLOTS, "the host is a dense one"
    pairs = [(layer, width) for b in blocks for layer, width in ((b.first, HIDDEN), (b.last, W))]
    assert isinstance(host.stem, nn.Linear), "a dense host begins with a linear layer"
    ends = _starts(HOST_SIZES)
    for number, (layer, width) in enumerate([(host.stem, W), *pairs]):
        yield layer.weight, ends[2 * number], width
        yield layer.bias, ends[2 * number + 1], width
    yield host.head.weight, ends[-2], MAX_CLASSES
    yield host.head.bias, ends[-1], MAX_CLASSES


def block_range(place: int) -> tuple[int, int]:
    """Return where the flat copy of a host holds the block of a place: start and end."""
    start = sum(HOST_SIZES[: 2 + 4 * place])
    return start, start + sum(_BLOCK)


def pack(pieces: Iterator[Piece], size: int) -> Tensor:
    """Return a flat copy (size,) of parameters."""
    flat = torch.zeros(size)
    for parameter, start, width in pieces:
        _view(flat, parameter, start, width).copy_(_transposed(parameter.detach()))
    return flat


@torch.no_grad()
def unpack(pieces: Iterator[Piece], flat: Tensor) -> None:
    """Copy the values of a flat copy into parameters."""
    for parameter, start, width in pieces:
        parameter.copy_(_transposed(_view(flat, parameter, start, width)))


def pack_host(host: EpisodeHost) -> Tensor:
    """Return a flat copy of a host's weights, (sum of `HOST_SIZES`,)."""
    return pack(host_pieces(host), sum(HOST_SIZES))


def pack_kernel(module: nn.Module, blueprint: str) -> Tensor:
    """Return a flat copy of a kernel's weights, (sum of `KERNEL_SIZES`,)."""
    flat = torch.zeros(sum(KERNEL_SIZES))
    for source, target in _kernel_parts(module, blueprint, flat):
        target.copy_(source.detach())
    return flat


@torch.no_grad()
def unpack_kernel(module: nn.Module, blueprint: str, flat: Tensor) -> None:
    """Copy the values of a flat copy into a kernel."""
    for target, source in _kernel_parts(module, blueprint, flat):
        target.copy_(source)


def _kernel_parts(
    module: nn.Module, blueprint: str, flat: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return each weight of a kernel, as torch holds it, with its view of the flat copy."""
    parts = [_transposed(each) for each in _matrices(flat)]
    enter, enter_bias, gate, gate_bias, leave, leave_bias = parts
    weights = [parameter.data for parameter in module.parameters()]
    if blueprint == "mlp":
        yield from zip(weights, (enter, enter_bias, leave, leave_bias), strict=True)
    elif blueprint == "lora":
        rank = len(weights[0])
        yield from zip(weights, (enter[:rank], leave[:, :rank]), strict=True)
    elif blueprint == "affine":
        yield from zip(weights, (leave, leave_bias), strict=True)
    else:
        assert blueprint == "gated_mlp", f"no kernel of blueprint {blueprint} is known"
        both, both_bias, project, project_bias = weights
        units = project.shape[1]
        yield both[:units], enter[:units]
        yield both[units:], gate[:units]
        yield both_bias[:units], enter_bias[:units]
        yield both_bias[units:], gate_bias[:units]
        yield project, leave[:, :units]
        yield project_bias, leave_bias


def _matrices(flat: Tensor) -> list[Tensor]:
    return [part.view(-1, W) if len(part) > W else part for part in torch.split(flat, KERNEL_SIZES)]


def _view(flat: Tensor, parameter: Tensor, start: int, width: int) -> Tensor:
    """Return the part of a flat copy that a parameter has, as (inputs, outputs)."""
    if parameter.dim() == 1:
        return flat[start : start + len(parameter)]
    outputs, inputs = parameter.shape
    return flat[start : start + inputs * width].view(inputs, width)[:, :outputs]


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.dim() == 2 else tensor


def _starts(sizes: list[int]) -> list[int]:
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += size
    return starts
