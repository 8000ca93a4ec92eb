"""The global random generators, kept and put back.

A twin must see the batches that the network saw, also in a training loop that shuffles with a
global generator, and nothing that is done for a twin may be felt by the network.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RngState:
    """The state of Python's, NumPy's and torch's global generators."""

    python: Any
    array: Any
    cpu: Tensor
    devices: list[Tensor]

    @classmethod
    def now(cls) -> "RngState":
        """Return the state as it stands."""
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(random.getstate(), numpy.random.get_state(), torch.get_rng_state(), devices)

    def restore(self) -> None:
        """Put the generators back into this state."""
        random.setstate(self.python)
        numpy.random.set_state(self.array)
        torch.set_rng_state(self.cpu)
        if self.devices:
            torch.cuda.set_rng_state_all(self.devices)

    def state_dict(self) -> dict[str, Any]:
        """Return the states as plain values and tensors."""
        name, words, *rest = self.array
        return {
            "python": self.python,
            "numpy": [name, words.tolist(), *rest],
            "cpu": self.cpu,
            "devices": self.devices,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "RngState":
        """Return what `state_dict` gave."""
        name, words, *rest = state["numpy"]
        array = (name, numpy.array(words, dtype=numpy.uint32), *rest)
        return cls(state["python"], array, state["cpu"], state["devices"])


@contextmanager
def restored(then: RngState) -> Iterator[None]:
    """Run a block with the generators as they were `then`; put them back afterwards."""
    now = RngState.now()
    then.restore()
    try:
        yield
    finally:
        now.restore()
