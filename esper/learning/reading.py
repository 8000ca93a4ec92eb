"""Write what a network read of a germination as a text, and read it again.

A store keeps it with the settled trial, so that a network can learn on from runs of its own.  The
numbers have half precision; the text is their bytes, compressed, in base64.
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

_TYPE = np.dtype("<f2")
_TENSORS = ("run", "nodes", "edges", "edge_rows", "offers", "places", "seeds", "values", "doubts")
_WHOLE = ("edges", "places", "seeds")
"""Tensors of whole numbers."""
_DIMENSIONS = {"nodes": 2, "edges": 2, "edge_rows": 2, "offers": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A situation with a single offer, that which was taken.

    asked: gain, in log loss, that makes the offer as good as to wait.
    """

    situation: Situation
    asked: float


def to_text(situation: Situation, action: int, asked: float) -> str:
    """Return what a network read of an action other than to wait."""
    one = situation.only(action)
    arrays = [np.array([asked], _TYPE)]
    for name in _TENSORS:
        values = getattr(one, name).detach().numpy()
        arrays += [np.array(values.shape, _TYPE), values.astype(_TYPE).reshape(-1)]
    return base64.b64encode(zlib.compress(np.concatenate(arrays).tobytes(), 9)).decode("ascii")


def from_text(text: str) -> Reading:
    """Return what `to_text` wrote.

    Raises:
        ValueError: if it is none.
    """
    try:
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), _TYPE)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a reading is damaged: {error}") from error
    if not np.isfinite(numbers).all():
        raise ValueError("a reading holds a number that is not finite")
    try:
        situation = _situation(numbers[1:].astype(np.float32))
    except ValueError as error:
        raise ValueError(f"a reading has other numbers than were expected: {error}") from error
    return Reading(situation, float(numbers[0]))


def _situation(numbers: NDArray[np.float32]) -> Situation:
    """Return the situation of numbers; raise ValueError if they are none."""
    found: dict[str, Tensor] = {}
    for name in _TENSORS:
        rank = _DIMENSIONS.get(name, 1)
        shape = [int(size) for size in numbers[:rank]]
        size = math.prod(shape)
        if len(shape) < rank or min(shape) < 0 or rank + size > len(numbers):
            raise ValueError(f"{name} of shape {shape}")
        values = torch.from_numpy(numbers[rank : rank + size].reshape(shape))
        found[name] = values.long() if name in _WHOLE else values
        numbers = numbers[rank + size :]
    if len(numbers) or found["values"].shape != (1,):
        raise ValueError(f"{len(found['values'])} offers, {len(numbers)} numbers are left")
    return Situation(**found, allowed=torch.ones(1, dtype=torch.bool))
