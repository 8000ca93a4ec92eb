"""The kernels of all networks of a stack: weights, moments, averages, and their outputs.

Shapes: K kernels, S samples, W features, Q numbers of a kernel.  Kernels are sorted by place, and
there by blueprint, so that the kernels of a place are neighbours and those of a blueprint too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from esper.run.episodes.batched.flat import BLUEPRINTS, KERNEL_SIZES, UNITS, W

Q = sum(KERNEL_SIZES)


@dataclass(frozen=True, slots=True, order=True)
class KernelKey:
    """A kernel: the place of its slot, its blueprint's number, its network, seed and activation."""

    place: int
    blueprint: int
    row: int
    seed: int
    activation: int


@dataclass(frozen=True, slots=True)
class Gates:
    """How kernels take part in a pass, (K, 1, 1) each.

    out: factor of a kernel's output in the forward pass.
    back: factor of the gradient that reaches its output.
    through: 1 where gradients reach the host through the kernel, else 0.
    """

    out: Tensor
    back: Tensor
    through: Tensor


class _Through(torch.autograd.Function):
    """Return `x`; scale its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return grads[0] * scale, None


class _Gated(torch.autograd.Function):
    """Return `y * out`; its gradient is scaled by `back`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, out: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return y * out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grads[0] * back, None, None


@dataclass(frozen=True, slots=True)
class PlaceKernels:
    """The kernels of one place in a pass, (k, ...).

    owners: the network of each, a row of the pass.
    sizes: number of kernels of each blueprint.
    inner: weights and biases of enter and of gate, of the kernels of each blueprint.
    leave, leave_bias: weights of all.
    gates: how they take part.
    """

    owners: Tensor
    sizes: list[int]
    inner: list[dict[str, Tensor]]
    leave: Tensor
    leave_bias: Tensor
    gates: Gates

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the outputs of the blocks of this place with those of the kernels.

        Args:
            y: outputs of the blocks, (R, S, W).
            x: their inputs.
        """
        source = x.index_select(0, self.owners)
        source = _Through.apply(source, self.gates.through)  # type: ignore[no-untyped-call]
        hidden = self._hidden(source)
        leave = self.leave.view(-1, UNITS, W)
        outputs = torch.baddbmm(self.leave_bias[:, None], hidden, leave)
        gated = _Gated.apply(outputs, self.gates.out, self.gates.back)  # type: ignore[no-untyped-call]
        return y.index_add(0, self.owners, gated)

    def _hidden(self, x: Tensor) -> Tensor:
        """Return the hidden units (k, S, `UNITS`)."""
        hidden = []
        enter, enter_bias, gate, gate_bias = self.inner
        for name, size, own in zip(BLUEPRINTS, self.sizes, torch.split(x, self.sizes), strict=True):
            if not size:
                continue
            matrix = enter[name].view(-1, W, UNITS)
            if name == "affine":
                hidden.append(own)
            elif name == "lora":
                hidden.append(torch.bmm(own, matrix))
            else:
                value = torch.baddbmm(enter_bias[name][:, None], own, matrix)
                hidden.append(gelu(value) if name == "mlp" else value)
            if name == "gated_mlp":
                other = gate[name].view(-1, W, UNITS)
                hidden[-1] = hidden[-1] * silu(torch.baddbmm(gate_bias[name][:, None], own, other))
        return torch.cat(hidden) if len(hidden) > 1 else hidden[0]


class Placed:
    """Where kernels are in a pass: sorted by place, and there by blueprint.

    owners: the network of each, a row of the pass.
    """

    def __init__(self, keys: Sequence[KernelKey], owners: Sequence[int]) -> None:
        counts = Counter((key.place, key.blueprint) for key in keys)
        self._places = sorted({place for place, _ in counts})
        blueprints = range(len(BLUEPRINTS))
        self._sizes = [[counts[place, b] for b in blueprints] for place in self._places]
        self._ends = [sum(sizes) for sizes in self._sizes]
        self._owners = torch.split(torch.tensor(owners, dtype=torch.long), self._ends)
        biased = [float(BLUEPRINTS[key.blueprint] != "lora") for key in keys]
        self._has_bias = torch.tensor(biased)[:, None]

    def cut(self, weights: Tensor, gates: Gates) -> dict[int, PlaceKernels]:
        """Return the kernels of each place; arguments are those of all kernels, in their order."""
        *inner, leave, leave_bias = torch.split(weights, KERNEL_SIZES, dim=1)
        fine = [size for sizes in self._sizes for size in sizes]
        pieces = [iter(torch.split(part, fine)) for part in inner]
        cut: dict[int, list[dict[str, Tensor]]] = {place: [] for place in self._places}
        for part in pieces:
            for place in self._places:
                cut[place].append({name: next(part) for name in BLUEPRINTS})
        each = (leave, leave_bias * self._has_bias, gates.out, gates.back, gates.through)
        whole = zip(*(torch.split(part, self._ends) for part in each), strict=True)
        found = zip(self._places, self._owners, self._sizes, whole, strict=True)
        return {
            place: PlaceKernels(
                owners, sizes, cut[place], leave, leave_bias, Gates(out, back, through)
            )
            for place, owners, sizes, (leave, leave_bias, out, back, through) in found
        }


class KernelPool:
    """The kernels of a stack.

    keys: of the kernels, ascending.
    weights, mean, best: (K, Q); now, averaged, and averaged at the best epoch of their network.
    first, second: Adam's moments, (K, Q).
    steps: steps of each kernel so far, (K,).
    """

    def __init__(self) -> None:
        self.keys: list[KernelKey] = []
        self.weights, self.mean, self.best, self.first, self.second = (
            torch.zeros(0, Q) for _ in range(5)
        )
        self.steps = torch.zeros(0, dtype=torch.float32)
        self.placed = Placed([], [])

    def index(self) -> dict[KernelKey, int]:
        """Return the place of each kernel in the tensors."""
        return {key: index for index, key in enumerate(self.keys)}

    def change(self, gone: Iterable[KernelKey], added: Mapping[KernelKey, Tensor]) -> None:
        """Remove kernels, and add some with their initial weights."""
        removed = set(gone)
        stays = [index for index, key in enumerate(self.keys) if key not in removed]
        keys = [*(self.keys[index] for index in stays), *added]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self.keys = [keys[index] for index in order]
        kept = torch.tensor(stays, dtype=torch.long)
        turn = torch.tensor(order, dtype=torch.long)
        new = torch.stack(list(added.values())) if added else torch.zeros(0, Q)
        zeros = torch.zeros_like(new)
        for name, values in (("weights", new), ("mean", new), ("best", zeros)):
            setattr(self, name, torch.cat([getattr(self, name)[kept], values])[turn])
        for name in ("first", "second"):
            setattr(self, name, torch.cat([getattr(self, name)[kept], zeros])[turn])
        self.steps = torch.cat([self.steps[kept], torch.zeros(len(new), dtype=torch.float32)])[turn]
        self.placed = Placed(self.keys, [key.row for key in self.keys])

    def renumber(self, rows: Mapping[int, int]) -> None:
        """Drop the kernels of networks that are not in `rows`; give the others their new rows."""
        self.change([key for key in self.keys if key.row not in rows], {})
        self.keys = [
            KernelKey(k.place, k.blueprint, rows[k.row], k.seed, k.activation) for k in self.keys
        ]
        # The order of rows does not change, so that the kernels stay sorted.
        self.placed = Placed(self.keys, [key.row for key in self.keys])
