"""Nets of dense blocks.  B batch, D features."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn


class DenseBlock(nn.Module):
    """Two linear layers with a GELU and `hidden` units between them."""

    def __init__(self, in_features: int, hidden: int, out_features: int) -> None:
        super().__init__()
        self.expand = nn.Linear(in_features, hidden)
        self.activation = nn.GELU()
        self.project = nn.Linear(hidden, out_features)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return the output features; leading dimensions are kept."""
        out: Tensor = self.project(self.activation(self.expand(x_BD)))
        return out


def mlp(in_features: int, hidden: Sequence[int], width: int, num_classes: int) -> nn.Sequential:
    """Return blocks `block1`, `block2`, ... from flattened samples to logits.

    Args:
        in_features: features of a flattened sample.
        hidden: inner units of each block.
        width: features between consecutive blocks; the last block outputs the logits.
        num_classes: number of logits.
    """
    edges = [in_features, *[width] * (len(hidden) - 1), num_classes]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i, units in enumerate(hidden):
        layers[f"block{i + 1}"] = DenseBlock(edges[i], units, edges[i + 1])
    return nn.Sequential(layers)
