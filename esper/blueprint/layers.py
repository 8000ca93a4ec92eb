"""The layers that kernels are made of.

Shapes: B batch, C channels, H height, W width, S positions, D features, N heads.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.blueprint.shapes import WINDOW, Shape, Window, features, window
from esper.contracts.slot import SlotKind


def zeroed(layer: nn.Linear | nn.Conv2d | nn.LayerNorm | nn.GroupNorm) -> nn.Module:
    """Return the layer with weight and bias set to 0, so that a kernel's first output is 0."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def pointwise(
    kind: SlotKind, num_in: int, num_out: int, *, bias: bool = True
) -> nn.Linear | nn.Conv2d:
    """Return a map of the features: a 1x1 convolution for feature maps, else a linear layer."""
    if kind is SlotKind.FEATURE_MAP:
        return nn.Conv2d(num_in, num_out, kernel_size=1, bias=bias)
    return nn.Linear(num_in, num_out, bias=bias)


def convolution(
    num_in: int, num_out: int, through: Window, *, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    """Return a 3x3 convolution through the window."""
    return nn.Conv2d(
        num_in,
        num_out,
        kernel_size=WINDOW,
        stride=through.stride,
        padding=through.padding,
        groups=groups,
        bias=bias,
    )


def resample(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> list[nn.Module]:
    """Return the average pool, if needed, that brings a feature map to the block's size."""
    if kind is not SlotKind.FEATURE_MAP or in_shape[1:] == out_shape[1:]:
        return []
    through = window(in_shape, out_shape)
    return [nn.AvgPool2d(WINDOW, through.stride, through.padding, count_include_pad=False)]


class GatedMLP(nn.Module):
    """Two linear maps whose hidden units are gated by SiLU (SwiGLU, Shazeer 2020)."""

    def __init__(self, num_in: int, num_hidden: int, num_out: int) -> None:
        super().__init__()
        self.expand = nn.Linear(num_in, 2 * num_hidden)
        self.project = zeroed(nn.Linear(num_hidden, num_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated map of the last dimension."""
        value, gate = self.expand(x).chunk(2, dim=-1)
        out: Tensor = self.project(value * functional.silu(gate))
        return out


class SqueezeExcite(nn.Module):
    """A gain in (-1, 1) for each channel, from the means of all (after Hu et al. 2018).

    The original's gate 2 sigmoid(z) equals 1 + tanh(z / 2); the host adds the 1.
    """

    def __init__(self, num_channels: int, num_hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(num_channels, num_hidden)
        self.excite = zeroed(nn.Linear(num_hidden, num_channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the maps times their gains."""
        means_BC = x_BCHW.mean(dim=(2, 3))
        gains_BC = torch.tanh(self.excite(functional.silu(self.squeeze(means_BC))))
        return x_BCHW * gains_BC[:, :, None, None]


class CausalAttention(nn.Module):
    """Self-attention in which no position sees a later one, on normalised input."""

    def __init__(self, num_in: int, num_out: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(num_in)
        # A bias of the keys would never get a gradient: softmax cancels it.
        self.mix = nn.Linear(num_in, 3 * num_in, bias=False)
        self.project = zeroed(nn.Linear(num_in, num_out))

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Return the attended values, mapped to the output's features.

        No fused operator, because torch counts its FLOPs on some devices only.
        """
        split = self.mix(self.norm(x_BSD)).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, N, S, D / N)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        future = torch.ones_like(scores[0, 0], dtype=torch.bool).triu(diagonal=1)
        weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
        out: Tensor = self.project((weights @ value).transpose(1, 2).flatten(2))
        return out


class Nothing(nn.Module):
    """Zeros of the block's output shape, for any batch size, length and image size."""

    def __init__(self, kind: SlotKind, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__()
        self.num_features = features(kind, out_shape)
        self.through = window(in_shape, out_shape) if kind is SlotKind.FEATURE_MAP else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the zeros; no gradient reaches `x`."""
        if self.through is None:
            return x.new_zeros((*x.shape[:-1], self.num_features))
        return x.new_zeros((x.shape[0], self.num_features, *self.through.size(*x.shape[2:])))
