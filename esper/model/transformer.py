"""A causal transformer that predicts the next token at each position."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from esper.contracts.checks import require, require_whole
from esper.contracts.data import DataSpec
from esper.model.base import HostOptions, require_fit

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Transformer(HostOptions):
    """For tokens; the logits are (batch, positions, num_classes).

    layers: blocks, each with submodules `attention` and `mlp`.
    width: features of a position, divisible by `heads`.
    mlp_ratio: inner units of an `mlp`, as a multiple of `width`.
    """

    layers: int = 1
    width: int = 32
    heads: int = 4
    mlp_ratio: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("layers", "width", "heads"):
            require_whole(f"model.{key}", getattr(self, key), 1)
        divides = self.width % self.heads == 0
        require(divides, "model.width", f"divisible by model.heads={self.heads}", self.width)
        units = self.mlp_ratio * self.width
        if not 1 <= units < math.inf:
            raise ValueError(
                f"model.mlp_ratio must give at least one unit and be finite, got {self.mlp_ratio}"
            )

    def wider(self) -> Self:
        """Return the options of a host of twice the width; the heads become wider, not more."""
        return replace(self, width=2 * self.width)

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return the net; weights come from torch's global generator."""
        require_fit("transformer", spec)
        from esper.model.networks.decoder import decoder

        return decoder(
            self.layers,
            self.width,
            self.heads,
            int(self.mlp_ratio * self.width),
            vocabulary=spec.num_classes,
            positions=spec.input_shape[0],
        )
