"""Part a tree of values into strict JSON and tensors, and put it together again, bit for bit.

What JSON cannot say is a dict with the one key `$`: `{"$": [kind, ...]}`.  A dict of the user's
that holds this key is itself written so, as a list of pairs.
"""

import math
import re
import struct
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_TAG = "$"
# Two surrogates that stand beside each other come back from JSON as one character.
_SURROGATE = re.compile("[\ud800-\udfff]")
# Python reads and writes decimals up to a number of digits only; hexadecimals have no limit.
_LONGEST_INT_BITS = 1024
_IN_SAFETENSORS = frozenset(
    {
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
        *(torch.uint64, torch.uint32, torch.uint16),
    }
)
_ALLOWED = "dict with str keys, list, tuple, None, bool, int, float, str, torch.Tensor"

_Tensors = dict[str, Tensor]
# Where a value stands: its parent's place and its key; None at the root.
_Place = tuple[Any, object] | None


def split(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return what `json.dumps` takes as it is, and the tensors that it names.

    Tensors are copied to the cpu, contiguous and without their graph.  One that occurs twice (the
    same values in the same memory) is kept once.

    Raises:
        TypeError: if the tree holds anything else than the allowed types, subclasses included,
            since they would come back as something else; it names the place.
    """
    store = _Store()
    try:
        return store.plain(tree, None), store.tensors
    except RecursionError as error:
        raise TypeError("cannot save a tree that is nested so deeply, or holds itself") from error


def join(plain: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the tree that was split; each tensor is new, contiguous and owns aligned memory.

    A tensor that occurred twice has one memory in both places.

    Raises:
        ValueError: if `plain` was not made by `split`, or names a tensor that is not there.
    """
    # Views of a file's bytes may lie unaligned, and kernels may round differently there.
    copies = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return _joined(plain, copies)


class _Store:
    """The tensors met so far, each under a name that tells where it first stood."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._coded: dict[tuple[object, ...], Any] = {}

    def plain(self, value: Any, place: _Place) -> Any:
        coder = _CODERS.get(type(value))
        if coder is None:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise TypeError(f"{_path(place)}: cannot save a {kind} (allowed: {_ALLOWED})")
        return coder(self, value, place)

    def tensor(self, value: Tensor, place: _Place) -> Any:
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise TypeError(
                f"{_path(place)}: cannot save this tensor ({value.layout}, {value.dtype}, on "
                f"{value.device}; allowed: dense tensors that hold values)"
            )
        memory = (value.device, value.untyped_storage().data_ptr(), value.storage_offset())
        form = (value.shape, value.stride(), value.dtype, value.is_conj(), value.is_neg())
        coded = self._coded.get((*memory, *form))
        if coded is None:
            coded = self._coded[(*memory, *form)] = self._add(value, place)
        return coded

    def _add(self, value: Tensor, place: _Place) -> Any:
        path = _path(place).encode("ascii", "backslashreplace").decode("ascii")
        name = f"{len(self.tensors):04d}:{path}"
        copy = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        if value.dtype in _IN_SAFETENSORS:
            self.tensors[name] = copy
            return {_TAG: ["tensor", name]}
        self.tensors[name] = copy.reshape(-1).view(torch.uint8)
        dtype = str(value.dtype).removeprefix("torch.")
        return {_TAG: ["bytes of tensor", name, dtype, list(value.shape)]}


def _plain_same(store: _Store, value: Any, place: _Place) -> Any:
    return value


def _plain_int(store: _Store, value: int, place: _Place) -> Any:
    return value if value.bit_length() <= _LONGEST_INT_BITS else {_TAG: ["int", hex(value)]}


def _plain_float(store: _Store, value: float, place: _Place) -> Any:
    return value if math.isfinite(value) else {_TAG: ["float", struct.pack(">d", value).hex()]}


def _plain_str(store: _Store, value: str, place: _Place) -> Any:
    if not _SURROGATE.search(value):
        return value
    return {_TAG: ["str", value.encode("utf-8", "surrogatepass").hex()]}


def _plain_list(store: _Store, value: list[Any], place: _Place) -> Any:
    return [store.plain(item, (place, index)) for index, item in enumerate(value)]


def _plain_tuple(store: _Store, value: tuple[Any, ...], place: _Place) -> Any:
    return {_TAG: ["tuple", [store.plain(item, (place, i)) for i, item in enumerate(value)]]}


def _plain_dict(store: _Store, value: dict[Any, Any], place: _Place) -> Any:
    for key in value:
        if type(key) is not str:
            raise TypeError(
                f"{_path(place)}: cannot save the key {key!r}, a {type(key).__qualname__} "
                "(keys must be str)"
            )
    if _TAG in value or _SURROGATE.search("".join(value)):
        pairs = [
            [_plain_str(store, key, place), store.plain(item, (place, key))]
            for key, item in value.items()
        ]
        return {_TAG: ["dict", pairs]}
    return {key: store.plain(item, (place, key)) for key, item in value.items()}


_CODERS: dict[type, Callable[[_Store, Any, _Place], Any]] = {
    type(None): _plain_same,
    bool: _plain_same,
    int: _plain_int,
    float: _plain_float,
    str: _plain_str,
    list: _plain_list,
    tuple: _plain_tuple,
    dict: _plain_dict,
    Tensor: _Store.tensor,
    nn.Parameter: _Store.tensor,
}


def _path(place: _Place) -> str:
    """Return a place as keys and indices from the root, `host/slots/0`."""
    keys: list[str] = []
    while place is not None:
        place, key = place
        keys.append(str(key))
    return "/".join(reversed(keys)) or "the whole tree"


def _joined(plain: Any, tensors: _Tensors) -> Any:
    if isinstance(plain, list):
        return [_joined(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if _TAG in plain:
        return _decoded(plain, tensors)
    return {key: _joined(item, tensors) for key, item in plain.items()}


def _decoded(plain: dict[str, Any], tensors: _Tensors) -> Any:
    match plain[_TAG]:
        case [str(kind), *content] if len(plain) == 1 and kind in _DECODERS:
            try:
                return _DECODERS[kind](tensors, *content)
            except (AttributeError, KeyError, RuntimeError, TypeError, struct.error) as error:
                raise ValueError(f"a {kind} of a saved tree is broken: {error}") from error
        case other:
            raise ValueError(f"{str(other)[:80]} is no value of a saved tree")


def _to_tensor(tensors: _Tensors, name: str) -> Tensor:
    return tensors[name]


def _to_viewed(tensors: _Tensors, name: str, dtype: str, shape: list[int]) -> Tensor:
    return tensors[name].view(getattr(torch, dtype)).reshape(shape)


def _to_tuple(tensors: _Tensors, items: list[Any]) -> tuple[Any, ...]:
    return tuple([_joined(item, tensors) for item in items])


def _to_dict(tensors: _Tensors, pairs: list[Any]) -> dict[str, Any]:
    return {_joined(key, tensors): _joined(item, tensors) for key, item in pairs}


def _to_int(tensors: _Tensors, digits: str) -> int:
    return int(digits, 16)


def _to_float(tensors: _Tensors, digits: str) -> float:
    number: float = struct.unpack(">d", bytes.fromhex(digits))[0]
    return number


def _to_str(tensors: _Tensors, digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-8", "surrogatepass")


_DECODERS: dict[str, Callable[..., Any]] = {
    "tensor": _to_tensor,
    "bytes of tensor": _to_viewed,
    "tuple": _to_tuple,
    "dict": _to_dict,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
}
