"""Dense blocks on flattened samples."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from esper.contracts.checks import require_whole
from esper.contracts.data import DataSpec
from esper.model.base import HostOptions, require_fit, widths

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MLP(HostOptions):
    """For vectors and images.

    hidden: inner units of each block.
    width: features between consecutive blocks.
    """

    hidden: tuple[int, ...] = (12,)
    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", widths("hidden", self.hidden))
        require_whole("model.width", self.width, 1)

    def wider(self) -> Self:
        """Return the options of a host of twice the width."""
        return replace(self, width=2 * self.width, hidden=tuple(2 * each for each in self.hidden))

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return the net; weights come from torch's global generator."""
        require_fit("mlp", spec)
        from esper.model.networks.dense import mlp

        return mlp(math.prod(spec.input_shape), self.hidden, self.width, spec.num_classes)
