"""A residual convolutional net."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from esper.contracts.checks import require_one_of, require_whole
from esper.contracts.data import DataSpec
from esper.model.base import HostOptions, require_fit, widths

if TYPE_CHECKING:
    from torch import nn

NORMS = ("group", "batch")


@dataclass(frozen=True)
class ResNet(HostOptions):
    """For images.

    channels: channels of each stage; every stage but the first halves the image.
    width: factor of the channels.
    blocks: basic blocks in each stage.
    norm: `group`, which computes the same in training and evaluation, or `batch`.
    """

    channels: tuple[int, ...] = (8, 16, 32)
    blocks: int = 1
    norm: str = "group"
    width: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "channels", widths("channels", self.channels))
        require_whole("model.width", self.width, 1)
        require_whole("model.blocks", self.blocks, 1)
        require_one_of("model.norm", self.norm, NORMS)

    def wider(self) -> Self:
        """Return the options of a host of twice the width."""
        return replace(self, width=2 * self.width)

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return the net; weights come from torch's global generator."""
        require_fit("resnet", spec)
        from esper.model.networks.convolution import resnet

        channels = [self.width * number for number in self.channels]
        return resnet(spec.input_shape[0], channels, self.blocks, self.norm, spec.num_classes)
