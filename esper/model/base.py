"""Shared by all options of the `model` group: slots, and which data a model takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from esper.contracts.checks import require, require_one_of, require_whole
from esper.contracts.data import DataSpec, InputKind
from esper.contracts.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

AUTO = "auto"
PLACEMENTS = (AUTO, "series", "parallel")

FITS: dict[InputKind, tuple[str, ...]] = {
    InputKind.VECTOR: ("mlp", "custom"),
    InputKind.IMAGE: ("cnn", "resnet", "mlp", "custom"),
    InputKind.TOKENS: ("transformer", "custom"),
}
"""Models that take each kind of sample."""


@dataclass(frozen=True)
class HostOptions:
    """The fields that every model has.

    slots: `auto`, or a list of module paths; kept as a tuple, `("auto",)` for auto.
    num_seeds: seeds in each slot.
    placement: where kernels read: `series`, `parallel`, or `auto` (parallel if a kernel fits).
    weights: file of trained weights to start from; None for new ones.
    """

    slots: Any = AUTO
    num_seeds: int = 4
    placement: str = AUTO
    weights: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", _slot_paths(self.slots))
        require_whole("model.num_seeds", self.num_seeds, 1)
        require_one_of("model.placement", self.placement, PLACEMENTS)

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return a host for such data; raises `ConfigError` if it does not fit."""
        raise NotImplementedError

    def wider(self) -> Self:
        """Return the options of a host of twice the width; raises `ConfigError` if unknown."""
        raise NotImplementedError


def _slot_paths(slots: Any) -> tuple[str, ...]:
    if isinstance(slots, str) and slots:
        return (slots,)
    paths = () if isinstance(slots, str) or not isinstance(slots, Sequence) else tuple(slots)
    valid = bool(paths) and all(isinstance(path, str) for path in paths)
    require(valid, "model.slots", "auto or a list of module paths", repr(slots))
    if len(set(paths)) < len(paths):
        raise ValueError(f"model.slots must name each path once, got {list(paths)}")
    alone = AUTO not in paths or len(paths) == 1
    require(alone, "model.slots", "auto or paths, not both", list(paths))
    return paths


def widths(key: str, values: Sequence[int]) -> tuple[int, ...]:
    """Return sizes as a tuple; raises `ValueError` if it is empty or a size is under 1."""
    sizes = tuple(values)
    valid = bool(sizes) and all(isinstance(size, int) and size >= 1 for size in sizes)
    require(valid, f"model.{key}", "a list of whole numbers >= 1, not empty", list(sizes))
    return sizes


def require_fit(model: str, spec: DataSpec) -> None:
    """Raise `ConfigError` unless the model of this config name takes such samples."""
    fitting = FITS[spec.kind]
    if model not in fitting:
        raise ConfigError(
            f"model={model} does not take {spec.kind} data (models that do: {', '.join(fitting)})"
        )
