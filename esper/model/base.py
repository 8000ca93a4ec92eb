"""What every option of the `model` group shares: where slots go, and which data a model takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

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
"""Which models take which kind of sample."""


class ModelOption(Protocol):
    """An option of the `model` group."""

    @property
    def slots(self) -> Any:
        """Module paths that hold slots, or `("auto",)`."""

    @property
    def num_seeds(self) -> int:
        """Seeds a slot."""

    @property
    def placement(self) -> str:
        """One of `PLACEMENTS`."""

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return a host for such data; raises `ConfigError` when it does not fit."""


@dataclass(frozen=True)
class HostOptions:
    """The fields that every model has.

    slots: `auto`, or a list of module paths; kept as a tuple, `("auto",)` for auto.
    num_seeds: seeds a slot.
    placement: where kernels read: `series`, `parallel`, or `auto` (parallel where one fits).
    """

    slots: Any = AUTO
    num_seeds: int = 4
    placement: str = AUTO

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", _slot_paths(self.slots))
        require_at_least("num_seeds", self.num_seeds, 1)
        require_one_of("placement", self.placement, PLACEMENTS)


def _slot_paths(slots: Any) -> tuple[str, ...]:
    if isinstance(slots, str) and slots:
        return (slots,)
    paths = () if isinstance(slots, str) or not isinstance(slots, Sequence) else tuple(slots)
    if not paths or not all(isinstance(path, str) for path in paths):
        raise ValueError(f"model.slots must be auto or a list of module paths, got {slots!r}")
    if len(set(paths)) < len(paths):
        raise ValueError(f"model.slots must name each path once, got {list(paths)}")
    if AUTO in paths and len(paths) > 1:
        raise ValueError(f"model.slots must be auto or paths, not both, got {list(paths)}")
    return paths


def require_at_least(key: str, value: int, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"model.{key} must be a whole number >= {least}, got {value!r}")


def require_one_of(key: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not among those allowed."""
    if value not in allowed:
        raise ValueError(f"model.{key} must be one of {', '.join(allowed)}, got {value!r}")


def widths(key: str, values: Sequence[int]) -> tuple[int, ...]:
    """Return a list of sizes as a tuple; refuses an empty one and sizes under 1."""
    sizes = tuple(values)
    if not sizes or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(
            f"model.{key} must be a list of whole numbers >= 1, not empty, got {list(sizes)}"
        )
    return sizes


def require_fit(model: str, spec: DataSpec) -> None:
    """Raise `ConfigError` unless the model, by its config name, takes such samples."""
    fitting = FITS[spec.kind]
    if model not in fitting:
        raise ConfigError(
            f"model={model} does not take {spec.kind} data (models that do: {', '.join(fitting)})"
        )
