"""Write what a network read of a germination as a text, and read it again.

A store keeps it with the settled trial, so that a network can learn on from runs of its own.  The
text is the digest of the gain model that the offer's numbers come from, a colon, and the numbers:
their bytes, compressed, in base64.  Rows of features have half precision, what is compared with
gains and what counts have single.
"""

import base64
import binascii
import math
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esper.learning.situation import Situation

_SINGLE, _HALF = np.dtype("<f4"), np.dtype("<f2")
_ROWS = ("run", "nodes", "edge_rows", "offers")
"""Tensors of features, which have half precision."""
_WHOLE = ("edges", "places", "seeds")
"""Tensors of whole numbers."""
_TENSORS = (*_ROWS, *_WHOLE, "values", "doubts")
_TWO_DIMENSIONS = ("nodes", "edge_rows", "offers", "edges")
_LARGEST = float(np.finfo(_HALF).max)

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A situation with a single offer, that which was taken.

    gain_model: digest of the gain model that describes the offer.
    asked: gain, in log loss, that makes the offer as good as to wait.
    """

    gain_model: str
    situation: Situation
    asked: float

    @property
    def columns(self) -> tuple[int, int, int, int]:
        """Numbers of columns of the run, of nodes, of edges and of the offer."""
        seen = self.situation
        return len(seen.run), seen.nodes.shape[1], seen.edge_rows.shape[1], seen.offers.shape[1]


def to_text(situation: Situation, action: int, asked: float, gain_model: str) -> str:
    """Return what a network read of an action other than to wait."""
    one = situation.only(action)
    parts = [np.array([asked], _SINGLE).tobytes()]
    for name in _TENSORS:
        values = getattr(one, name).detach().numpy()
        parts.append(np.array(values.shape, _SINGLE).tobytes())
        if name in _ROWS:
            values = np.clip(values, -_LARGEST, _LARGEST)
        parts.append(values.astype(_type_of(name)).tobytes())
    packed = base64.b64encode(zlib.compress(b"".join(parts), 9)).decode("ascii")
    return f"{gain_model}:{packed}"


def from_text(text: str) -> Reading:
    """Return what `to_text` wrote.

    Raises:
        ValueError: if it is none.
    """
    gain_model, _, packed = text.partition(":")
    try:
        data = zlib.decompress(base64.b64decode(packed, validate=True))
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a reading is damaged: {error}") from error
    taken = _Taken(data)
    asked = float(taken.next(1, _SINGLE)[0])
    found: dict[str, Tensor] = {}
    for name in _TENSORS:
        shape = [int(n) for n in taken.next(2 if name in _TWO_DIMENSIONS else 1, _SINGLE)]
        if min(shape) < 0:
            raise ValueError(f"a reading has {name} of shape {shape}")
        values = torch.from_numpy(taken.next(math.prod(shape), _type_of(name)).reshape(shape))
        found[name] = values.long() if name in _WHOLE else values
    if taken.left:
        raise ValueError(f"a reading has {taken.left} bytes too many")
    situation = Situation(**found, allowed=torch.ones(1, dtype=torch.bool))
    _check(situation)
    return Reading(gain_model, situation, asked)


class _Taken:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def next(self, number: int, kind: np.dtype[np.floating]) -> Numbers:
        """Return the next numbers; raise ValueError if they are missing or not finite."""
        if number * kind.itemsize > self.left:
            raise ValueError("a reading has too few numbers")
        values = np.frombuffer(self.data, kind, number, self.at).astype(np.float32)
        self.at += number * kind.itemsize
        if not np.isfinite(values).all():
            raise ValueError("a reading holds a number that is not finite")
        return values


def _type_of(name: str) -> np.dtype[np.floating]:
    return _HALF if name in _ROWS else _SINGLE


def _check(one: Situation) -> None:
    """Raise ValueError if the parts of a situation with one offer do not fit each other."""
    slots, edges = len(one.nodes), one.edges.shape[1]
    single = [
        len(each) == 1 for each in (one.offers, one.places, one.seeds, one.values, one.doubts)
    ]
    fits = all(single) and one.edges.shape[0] == 2 and len(one.edge_rows) == edges
    indices = torch.cat([one.edges.flatten(), one.places])
    if not fits or not bool(((indices >= 0) & (indices < slots)).all()):
        raise ValueError(f"a reading of {slots} slots and {edges} edges has parts that do not fit")
