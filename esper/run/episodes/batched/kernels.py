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
    enter, enter_bias, gate, gate_bias: weights of those of each blueprint that has kernels here.
    leave, leave_bias: weights of all.
    gates: how they take part.
    """

    owners: Tensor
    sizes: tuple[int, ...]
    enter: dict[str, Tensor]
    enter_bias: dict[str, Tensor]
    gate: dict[str, Tensor]
    gate_bias: dict[str, Tensor]
    leave: Tensor
    leave_bias: Tensor
    gates: Gates

    def add(self, y_RSW: Tensor, x_RSW: Tensor) -> Tensor:
        """Return the outputs of the blocks of this place with those of the kernels.

        Args:
            y_RSW: outputs of the blocks.
            x_RSW: their inputs.
        """
        source = x_RSW.index_select(0, self.owners)
        source = _Through.apply(source, self.gates.through)  # type: ignore[no-untyped-call]
        hidden = self._hidden(source)
        leave = self.leave.view(-1, UNITS, W)
        outputs = torch.baddbmm(self.leave_bias[:, None], hidden, leave)
        gated = _Gated.apply(outputs, self.gates.out, self.gates.back)  # type: ignore[no-untyped-call]
        return y_RSW.index_add(0, self.owners, gated)

    def _hidden(self, x_kSW: Tensor) -> Tensor:
        """Return the hidden units (k, S, `UNITS`)."""
        hidden = []
        for name, x in zip(BLUEPRINTS, x_kSW.split(self.sizes), strict=True):
            if not len(x):
                continue
            enter = self.enter[name].view(-1, W, UNITS)
            if name == "affine":
                hidden.append(x)
            elif name == "lora":
                hidden.append(torch.bmm(x, enter))
            else:
                value = torch.baddbmm(self.enter_bias[name][:, None], x, enter)
                hidden.append(gelu(value) if name == "mlp" else value * self._gated(x))
        return torch.cat(hidden) if len(hidden) > 1 else hidden[0]

    def _gated(self, x_kSW: Tensor) -> Tensor:
        gate = self.gate["gated_mlp"].view(-1, W, UNITS)
        return silu(torch.baddbmm(self.gate_bias["gated_mlp"][:, None], x_kSW, gate))


class Placed:
    """Where kernels are in a pass: sorted by place, and there by blueprint.

    owners: the network of each, a row of the pass.
    """

    def __init__(self, keys: Sequence[KernelKey], owners: Sequence[int]) -> None:
        counts = Counter((key.place, key.blueprint) for key in keys)
        self._places = sorted({place for place, _ in counts})
        blueprints = range(len(BLUEPRINTS))
        self._sizes = [tuple(counts[place, b] for b in blueprints) for place in self._places]
        self._ends = [sum(sizes) for sizes in self._sizes]
        self._owners = torch.tensor(owners, dtype=torch.long).split(self._ends)
        biased = [float(BLUEPRINTS[key.blueprint] != "lora") for key in keys]
        self._has_bias = torch.tensor(biased)[:, None]

    def cut(self, weights_KQ: Tensor, gates: Gates) -> dict[int, PlaceKernels]:
        """Return the kernels of each place; arguments are those of all kernels, in their order."""
        *inner, leave, leave_bias = weights_KQ.split(KERNEL_SIZES, dim=1)
        fine = [size for sizes in self._sizes for size in sizes]
        names = [(place, name) for place in self._places for name in BLUEPRINTS]
        cut: list[dict[int, dict[str, Tensor]]] = []
        for part in inner:
            found: dict[int, dict[str, Tensor]] = {place: {} for place in self._places}
            for (place, name), piece in zip(names, part.split(fine), strict=True):
                found[place][name] = piece
            cut.append(found)
        each = (leave, leave_bias * self._has_bias, gates.out, gates.back, gates.through)
        whole = zip(*(part.split(self._ends) for part in each), strict=True)
        found_at = zip(self._places, self._owners, self._sizes, whole, strict=True)
        return {
            place: PlaceKernels(
                owners, sizes, *(part[place] for part in cut), *weights, Gates(*factors)
            )
            for place, owners, sizes, (*weights, out, back, through) in found_at
            for factors in [(out, back, through)]
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
