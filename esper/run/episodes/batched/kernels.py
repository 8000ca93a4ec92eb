"""The kernels of all networks of a stack: weights, moments, averages, and their outputs.

Shapes: K kernels, S samples, W features, Q numbers of a kernel.  Kernels are sorted by place, and
there by blueprint, so that the kernels of a place are neighbours and those of a blueprint too.
"""

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


class Placed:
    """Kernels of networks, ready for a pass.

    owners: the network of each, a row of the pass.
    """

    def __init__(self, keys: Sequence[KernelKey], owners: Tensor) -> None:
        self.owners, self._ends = owners, _ends(keys)
        self._has_bias = torch.tensor([float(BLUEPRINTS[k.blueprint] != "lora") for k in keys])

    def add(
        self, place: int, y_BSW: Tensor, x_BSW: Tensor, parts: Sequence[Tensor], gates: Gates
    ) -> Tensor:
        """Return the output of a place's block with that of its kernels.

        Args:
            place: the place.
            y_BSW: output of the blocks there.
            x_BSW: their input.
            parts: the parts of all kernels, as `KERNEL_SIZES` cuts them.
            gates: how each of all kernels takes part.
        """
        start, *ends = self._ends.get(place, (0, 0))
        end = ends[-1]
        if start == end:
            return y_BSW
        owners = self.owners[start:end]
        source = _Through.apply(x_BSW.index_select(0, owners), gates.through[start:end])  # type: ignore[no-untyped-call]
        hidden = self._hidden(source, [part[start:end] for part in parts], [e - start for e in ends])
        leave = parts[4][start:end].view(-1, UNITS, W)
        bias = parts[5][start:end] * self._has_bias[start:end, None]
        outputs = torch.baddbmm(bias[:, None], hidden, leave)
        gated: Tensor = _Gated.apply(outputs, gates.out[start:end], gates.back[start:end])  # type: ignore[no-untyped-call]
        return y_BSW.index_add(0, owners, gated)

    @staticmethod
    def _hidden(x_KSW: Tensor, parts: Sequence[Tensor], ends: Sequence[int]) -> Tensor:
        """Return the hidden units (K, S, `UNITS`) of kernels, sorted by blueprint."""
        enter, enter_bias, gate, gate_bias = (
            part.view(-1, W, UNITS) if part.shape[1] > UNITS else part[:, None] for part in parts[:4]
        )
        a, b, c, d = ends
        hidden = []
        if a:
            hidden.append(gelu(torch.baddbmm(enter_bias[:a], x_KSW[:a], enter[:a])))
        if b > a:
            value = torch.baddbmm(enter_bias[a:b], x_KSW[a:b], enter[a:b])
            hidden.append(value * silu(torch.baddbmm(gate_bias[a:b], x_KSW[a:b], gate[a:b])))
        if c > b:
            hidden.append(torch.bmm(x_KSW[b:c], enter[b:c]))
        if d > c:
            hidden.append(x_KSW[c:d])
        return torch.cat(hidden) if len(hidden) > 1 else hidden[0]


def _ends(keys: Sequence[KernelKey]) -> dict[int, tuple[int, ...]]:
    """Return for each place where its kernels start, and where those of each blueprint end."""
    ends: dict[int, list[int]] = {}
    for index, key in enumerate(keys):
        if key.place not in ends:
            ends[key.place] = [index] * (len(BLUEPRINTS) + 1)
        for blueprint in range(key.blueprint, len(BLUEPRINTS)):
            ends[key.place][blueprint + 1] = index + 1
    return {place: tuple(found) for place, found in ends.items()}


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
        self.placed = Placed([], torch.zeros(0, dtype=torch.long))

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
        self.placed = Placed(self.keys, torch.tensor([key.row for key in self.keys]).long())

    def renumber(self, rows: Mapping[int, int]) -> None:
        """Drop the kernels of networks that are not in `rows`; give the others their new rows."""
        self.change([key for key in self.keys if key.row not in rows], {})
        self.keys = [
            KernelKey(k.place, k.blueprint, rows[k.row], k.seed, k.activation) for k in self.keys
        ]
        # The order of rows does not change, so that the kernels stay sorted.
        self.placed = Placed(self.keys, torch.tensor([key.row for key in self.keys]).long())
