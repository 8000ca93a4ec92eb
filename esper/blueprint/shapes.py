"""Shape rules, and the widths of kernels.

A convolution with a window of 3, stride s and padding p maps n places to
floor((n + 2 p - 3) / s) + 1.  Every kernel for feature maps reads through such a window.
"""

from dataclasses import dataclass

from esper.contracts.slot import SlotKind

Shape = tuple[int, ...]

WINDOW = 3
"""Side of the window of every convolution, and its largest stride: no place is skipped."""

MIN_WIDTH = 8
"""Fewest hidden units of a kernel, so that it has an effect on the smallest hosts too."""

_RANKS = {SlotKind.DENSE: 1, SlotKind.FEATURE_MAP: 3, SlotKind.SEQUENCE: 2}


@dataclass(frozen=True, slots=True)
class Window:
    """Strides and paddings (height, width) that map one feature map's size to another's."""

    stride: tuple[int, int]
    padding: tuple[int, int]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after the window."""
        return (
            _after(height, self.stride[0], self.padding[0]),
            _after(width, self.stride[1], self.padding[1]),
        )


SAME_SIZE = Window(stride=(1, 1), padding=(1, 1))


def _after(places: int, stride: int, padding: int) -> int:
    return (places + 2 * padding - WINDOW) // stride + 1


def _axis(before: int, after: int) -> tuple[int, int] | None:
    """Return the smallest stride, padded if possible, that maps `before` to `after` places."""
    for stride in range(1, WINDOW + 1):
        for padding in (1, 0):
            if _after(before, stride, padding) == after:
                return stride, padding
    return None


def find_window(in_shape: Shape, out_shape: Shape) -> Window | None:
    """Return the window between two feature maps, None if there is none."""
    height = _axis(in_shape[1], out_shape[1])
    width = _axis(in_shape[2], out_shape[2])
    if height is None or width is None:
        return None
    return Window(stride=(height[0], width[0]), padding=(height[1], width[1]))


def window(in_shape: Shape, out_shape: Shape) -> Window:
    """Return the window between two feature maps.

    Raises:
        ValueError: if no stride up to 3 maps one size to the other.
    """
    through = find_window(in_shape, out_shape)
    if through is None:
        raise ValueError(f"no stride up to {WINDOW} leads from {in_shape} to {out_shape}")
    return through


def is_sound(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Return whether both shapes have the kind's rank and a sequence keeps its positions."""
    rank = _RANKS[kind]
    if len(in_shape) != rank or len(out_shape) != rank or min(*in_shape, *out_shape) < 1:
        return False
    return kind is not SlotKind.SEQUENCE or in_shape[0] == out_shape[0]


def any_shapes(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Accept all sound shapes."""
    return True


def reachable(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Accept a feature map whose size changes by a stride, and all shapes of other kinds."""
    return kind is not SlotKind.FEATURE_MAP or find_window(in_shape, out_shape) is not None


def features(kind: SlotKind, shape: Shape) -> int:
    """Return the number of features or channels."""
    return shape[0] if kind is SlotKind.FEATURE_MAP else shape[-1]


def hidden_width(kind: SlotKind, out_shape: Shape) -> int:
    """Return the number of hidden units: that of the block's outputs, at least 8."""
    return max(MIN_WIDTH, features(kind, out_shape))
