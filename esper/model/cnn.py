"""A small convolutional net, narrow inside its blocks."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from esper.contracts.checks import require_whole
from esper.contracts.data import DataSpec
from esper.model.base import HostOptions, require_fit, widths

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class CNN(HostOptions):
    """For images; too small by default, so that growth can help.

    hidden: inner channels of each block.
    channels: output channels of each block; a list as long as `hidden`.
    width: factor of all these numbers.
    """

    hidden: tuple[int, ...] = (2, 4)
    channels: tuple[int, ...] = (8, 16)
    width: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", widths("hidden", self.hidden))
        object.__setattr__(self, "channels", widths("channels", self.channels))
        require_whole("model.width", self.width, 1)
        if len(self.hidden) != len(self.channels):
            raise ValueError(
                "model.hidden and model.channels must be of one length (a number a block), "
                f"got {list(self.hidden)} and {list(self.channels)}"
            )

    def wider(self) -> Self:
        """Return the options of a host of twice the width."""
        return replace(self, width=2 * self.width)

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return the net; weights come from torch's global generator."""
        require_fit("cnn", spec)
        from esper.model.networks.convolution import cnn

        hidden, channels = ([self.width * n for n in own] for own in (self.hidden, self.channels))
        return cnn(spec.input_shape[0], hidden, channels, spec.num_classes)
