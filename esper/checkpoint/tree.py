"""Split a tree of values into strict JSON and tensors, and join them again, bit for bit.

A value that JSON lacks is written as a dict with the one key `$`: `{"$": [kind, ...]}`.  A dict
that itself has the key `$` is written so as a list of pairs.
"""

import math
import struct
from typing import Any

import torch
from torch import Tensor, nn

_TAG = "$"
_PLAIN = (type(None), bool, int, str)
_ALLOWED = "dict with str keys, list, tuple, None, bool, int, float, str, torch.Tensor"


def split(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return the tree as values that `json.dumps` takes, and its tensors by name.

    Tensors are copied to the cpu, contiguous and without their graph.  A tensor that occurs twice
    (the same values in the same memory) is kept once.

    Raises:
        TypeError: naming the place of a value of another type than those allowed.  Subclasses are
            not allowed, because `join` could not restore them.
    """
    splitter = _Splitter()
    try:
        return splitter.plain(tree, ""), splitter.tensors
    except RecursionError as error:
        raise TypeError("cannot save a tree that is nested so deeply, or holds itself") from error


def join(plain: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the tree that `split` took; each tensor is a new, contiguous one.

    A tensor that occurred twice shares its memory in both places.

    Raises:
        ValueError: if `plain` is no result of `split`, or names a missing tensor.
    """
    # Copy: a view of a file's bytes may be unaligned, and CPU kernels may round differently there.
    copies = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return _joined(plain, copies)


class _Splitter:
    """Collects the tensors of a tree, each under the path where it occurs first."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._coded: dict[tuple[object, ...], Any] = {}

    def plain(self, value: Any, path: str) -> Any:
        """Return a value for JSON; `path` is its place in the tree, such as `/host/slots/0`."""
        kind = type(value)
        if kind in _PLAIN or (kind is float and math.isfinite(value)):
            return value
        if kind is float:
            return {_TAG: ["float", struct.pack(">d", value).hex()]}
        if kind is list:
            return [self.plain(item, f"{path}/{index}") for index, item in enumerate(value)]
        if kind is tuple:
            return {_TAG: ["tuple", self.plain(list(value), path)]}
        if kind is dict:
            return self._dict(value, path)
        if kind in (Tensor, nn.Parameter):
            return self._tensor(value, path)
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise TypeError(f"{_shown(path)}: cannot save a {name} (allowed: {_ALLOWED})")

    def _dict(self, value: dict[Any, Any], path: str) -> dict[str, Any]:
        for key in value:
            if type(key) is not str:
                raise TypeError(
                    f"{_shown(path)}: cannot save the key {key!r}, a {type(key).__qualname__} "
                    "(keys must be str)"
                )
        items = {key: self.plain(item, f"{path}/{key}") for key, item in value.items()}
        return {_TAG: ["dict", [list(pair) for pair in items.items()]]} if _TAG in items else items

    def _tensor(self, value: Tensor, path: str) -> Any:
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise TypeError(
                f"{_shown(path)}: cannot save this tensor ({value.layout}, {value.dtype}, on "
                f"{value.device}; allowed: dense tensors that hold values)"
            )
        memory = (value.device, value.untyped_storage().data_ptr(), value.storage_offset())
        form = (value.shape, value.stride(), value.dtype, value.is_conj(), value.is_neg())
        if (*memory, *form) not in self._coded:
            self._coded[(*memory, *form)] = self._add(value, path)
        return self._coded[(*memory, *form)]

    def _add(self, value: Tensor, path: str) -> Any:
        ascii_path = _shown(path).encode("ascii", "backslashreplace").decode("ascii")
        name = f"{len(self.tensors):04d}:{ascii_path}"
        copy = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        # The safetensors format has no complex128.
        self.tensors[name] = torch.view_as_real(copy) if copy.is_complex() else copy
        return {_TAG: ["complex" if copy.is_complex() else "tensor", name]}


def _shown(path: str) -> str:
    return path.removeprefix("/") or "the whole tree"


def _joined(plain: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(plain, list):
        return [_joined(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if _TAG not in plain:
        return {key: _joined(item, tensors) for key, item in plain.items()}
    try:
        (content,) = plain.values()
        return _decoded(content, tensors)
    except (KeyError, RuntimeError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"{str(plain)[:80]} of a saved tree is broken: {error}") from error


def _decoded(content: Any, tensors: dict[str, Tensor]) -> Any:
    match content:
        case ["tensor", str(name)]:
            return tensors[name]
        case ["complex", str(name)]:
            return torch.view_as_complex(tensors[name])
        case ["tuple", list(items)]:
            return tuple(_joined(items, tensors))
        case ["dict", list(pairs)]:
            return {key: _joined(item, tensors) for key, item in pairs}
        case ["float", str(text)]:
            (number,) = struct.unpack(">d", bytes.fromhex(text))
            return number
    raise ValueError(f"{str(content)[:80]} is no value of a saved tree")
