"""Find out whether a module gives (channels, positions), as one-dimensional convolutions do.

Kernels expect (positions, features), and the shape alone does not tell.  Layers of torch with a
known order of dimensions do: the last one called inside a module shows where its features are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Shape = tuple[int, ...]

_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.AvgPool1d,
    nn.MaxPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
_FEATURES_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A module's call in a forward pass.

    in_shape, out_shape: with the batch; None if it was no tensor, or if calls differ.
    output: what the last call returned.
    """

    in_shape: Shape | None
    out_shape: Shape | None
    output: object


class Layout:
    """The order of dimensions in one forward pass.

    Args:
        model: the host.
        seen: the calls of its modules by path, in the order in which they ended.
    """

    def __init__(self, model: nn.Module, seen: Mapping[str, Sighting]) -> None:
        self._seen = seen
        self._paths = list(seen)
        modules = dict(model.named_modules())
        known = {
            name: isinstance(modules[name], _CHANNELS_FIRST)
            for name in self._paths
            if isinstance(modules[name], (*_CHANNELS_FIRST, *_FEATURES_LAST))
        }
        self._is_first = {name: known[name] for name in known if _rank(seen[name].out_shape) == 3}

    def gives_channels_first(self, path: str) -> bool:
        """Return whether the output of a module with three dimensions is (batch, channels, ...)."""
        inside = self._inside(path)
        if not inside:
            return self._is_after_channels_first(path)
        if path in self._is_first:
            return self._is_first[path]
        if not any(self._is_first[name] for name in inside):
            return False
        return self._keeps_channels_first(path, inside[-1])

    def reads_channels_first(self, path: str) -> bool:
        """Return whether a module passes its input on to a layer that takes channels first."""
        inside = self._inside(path)
        if not inside:
            return self.gives_channels_first(path)
        first = inside[0]
        return self._is_first[first] and self._seen[first].in_shape == self._seen[path].in_shape

    def _inside(self, path: str) -> list[str]:
        """Return the layers with a known order in a module, itself included."""
        prefix = f"{path}." if path else ""
        return [name for name in self._is_first if name == path or name.startswith(prefix)]

    def _keeps_channels_first(self, path: str, last: str) -> bool:
        """Return where the features are that the last layer of a module gave."""
        shape, found = self._seen[last].out_shape, self._seen[path]
        assert shape is not None
        assert found.out_shape is not None
        num_features = shape[1] if self._is_first[last] else shape[2]
        _, second, third = found.out_shape
        if (second == num_features) != (third == num_features):
            return second == num_features
        # As many positions as features: only a transposed tensor has its dimensions swapped.
        return self._is_first[last] != _is_transposed(found.output)

    def _is_after_channels_first(self, path: str) -> bool:
        """Return whether the last known layer before a module gave its input, channels first."""
        before = self._paths[: self._paths.index(path)]
        shape, known = self._seen[path].in_shape, self._is_first
        given = [name for name in before if name in known and self._seen[name].out_shape == shape]
        return bool(given) and known[given[-1]]


def _rank(shape: Shape | None) -> int:
    return 0 if shape is None else len(shape)


def _is_transposed(output: object) -> bool:
    return isinstance(output, Tensor) and output.dim() == 3 and output.stride(1) < output.stride(2)
