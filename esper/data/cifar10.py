"""CIFAR-10: small photographs of ten kinds of animals and vehicles.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from esper.data.image_options import ImageOptions, ImageSource

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class CIFAR10(ImageOptions):
    """50,000 training and 10,000 test images of shape (3, 32, 32) in 10 classes."""

    source: ClassVar[ImageSource] = ImageSource(option="data=cifar10", repo="uoft-cs/cifar10")

    def load(self) -> "DataSet":
        """Return the images, standardised; raises `ConfigError` if the extra `data` is missing."""
        self.require_libraries()
        from esper.data.images import load_images

        return load_images(self)
