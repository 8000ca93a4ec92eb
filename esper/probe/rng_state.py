"""Save and restore the state of the global random generators.

A twin must get the network's batches, even if the training loop shuffles with a global generator,
and the work for a twin must not change the numbers that the network draws.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RngState:
    """The state of Python's, NumPy's and torch's global generators."""

    python: Any
    numpy: Any
    cpu: Tensor
    devices: list[Tensor]

    @classmethod
    def now(cls) -> "RngState":
        """Return the current state."""
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(random.getstate(), numpy.random.get_state(), torch.get_rng_state(), devices)

    def restore(self) -> None:
        """Set the generators to this state."""
        random.setstate(self.python)
        numpy.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.devices:
            torch.cuda.set_rng_state_all(self.devices)

    def state_dict(self) -> dict[str, Any]:
        """Return the fields as plain values and tensors, for `from_state`."""
        name, words, *rest = self.numpy
        # Not at once, because most states are never saved.
        plain = replace(self, numpy=(name, list(map(int, words)), *rest))
        return {each.name: getattr(plain, each.name) for each in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "RngState":
        """Return the object whose `state_dict` this is."""
        return cls(**state)


@contextmanager
def restored(then: RngState) -> Iterator[None]:
    """Run a block with the generators in the state `then`, then restore the current state."""
    now = RngState.now()
    then.restore()
    try:
        yield
    finally:
        now.restore()


def seed_torch(seed: int) -> None:
    """Seed torch's global generators, as `torch.manual_seed` does.

    Without an accelerator that function takes most of the time of building a small kernel: it
    queues a call, with the stack that it came from, for each kind of device that may appear later.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
