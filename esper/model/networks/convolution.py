"""Nets of convolution blocks.  B batch, C channels, H height, W width."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class GlobalAveragePool(nn.Module):
    """Averages each channel over the image."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C)."""
        return x_BCHW.mean(dim=(2, 3))


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with a GELU and `hidden` channels between them."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.activation = nn.GELU()
        self.project = nn.Conv2d(hidden, out_channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return feature maps of the same height and width."""
        out: Tensor = self.project(self.activation(self.expand(x_BCHW)))
        return out


def cnn(
    in_channels: int, hidden: Sequence[int], channels: Sequence[int], num_classes: int
) -> nn.Sequential:
    """Return blocks `block1`, `block2`, ... and a linear head; the image halves between blocks.

    Args:
        in_channels: channels of a sample.
        hidden: inner channels of each block.
        channels: output channels of each block.
        num_classes: number of logits.
    """
    edges = [in_channels, *channels]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, inner in enumerate(hidden):
        if i > 0:
            # Rounding up keeps the pixel of a 1x1 image.
            layers[f"halve{i}"] = nn.AvgPool2d(2, ceil_mode=True)
        layers[f"block{i + 1}"] = ConvBlock(edges[i], inner, edges[i + 1])
        layers[f"activation{i + 1}"] = nn.GELU()
    layers["pool"] = GlobalAveragePool()
    layers["head"] = nn.Linear(edges[-1], num_classes)
    return nn.Sequential(layers)


def _norm(name: str, channels: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(channels, 4), channels)


class BasicBlock(nn.Module):
    """Two normalised 3x3 convolutions with a shortcut.

    From He et al., "Deep residual learning for image recognition", 2015, with SiLU for ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = _norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = _norm(norm, out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return feature maps, height and width divided by the stride, rounded up."""
        inner = functional.silu(self.norm1(self.conv1(x_BCHW)))
        return functional.silu(self.norm2(self.conv2(inner)) + self.shortcut(x_BCHW))


def resnet(
    in_channels: int, channels: Sequence[int], blocks: int, norm: str, num_classes: int
) -> nn.Sequential:
    """Return a stem, stages `stage1`, `stage2`, ... of blocks `block1`, ..., and a linear head.

    Args:
        in_channels: channels of a sample.
        channels: channels of each stage; every stage but the first halves the image.
        blocks: basic blocks in each stage.
        norm: `group` or `batch`.
        num_classes: number of logits.
    """
    edges = [channels[0], *channels]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = nn.Conv2d(in_channels, channels[0], 3, padding=1)
    for i, width in enumerate(channels):
        stage: OrderedDict[str, nn.Module] = OrderedDict()
        for j in range(blocks):
            stride = 2 if i > 0 and j == 0 else 1
            stage[f"block{j + 1}"] = BasicBlock(edges[i] if j == 0 else width, width, stride, norm)
        layers[f"stage{i + 1}"] = nn.Sequential(stage)
    layers["pool"] = GlobalAveragePool()
    layers["head"] = nn.Linear(edges[-1], num_classes)
    return nn.Sequential(layers)
