"""A causal transformer that predicts the next token at each position."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.data import DataSpec
from esper.model.base import HostOptions, require_at_least, require_fit

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Transformer(HostOptions):
    """For tokens; the logits are (batch, positions, num_classes).

    layers: blocks, each with submodules `attention` and `mlp`.
    width: features a position, divisible by `heads`.
    mlp_ratio: inner units of an `mlp`, as a multiple of `width`.
    """

    layers: int = 1
    width: int = 32
    heads: int = 4
    mlp_ratio: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("layers", "width", "heads"):
            require_at_least(key, getattr(self, key), 1)
        if self.width % self.heads:
            raise ValueError(
                f"model.width must be divisible by model.heads={self.heads}, got {self.width}"
            )
        if not 1 <= self.mlp_ratio * self.width < float("inf"):
            raise ValueError(
                f"model.mlp_ratio must give at least one unit and be finite, got {self.mlp_ratio}"
            )

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return the net; weights come from torch's global generator."""
        require_fit("transformer", spec)
        from esper.model.networks.decoder import DecoderShape, decoder

        shape = DecoderShape(
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            hidden=int(self.mlp_ratio * self.width),
        )
        return decoder(shape, vocabulary=spec.num_classes, positions=spec.input_shape[0])
