"""Draw random numbers that depend on a seed alone, without advancing any global generator.

All threads of a process share torch's global generators: a draw in the background thread would
change the next dropout mask of training.  Here every random operator gets a private generator.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode

from esper.probe.rng_state import RngState, restored, seed_torch

_WORDS = 2**32
"""NumPy's legacy generator takes seeds below this value."""


class NoGeneratorError(RuntimeError):
    """A random operator can only draw from a global generator."""


class PrivateRng(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes random operators of a block, in this thread, draw from private generators.

    The numbers equal those of the global generator after `manual_seed(seed)`.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}

    # The inherited method sets variables that all threads share, which stops compilation in the
    # other threads.  This one pushes the mode onto this thread's stack only.
    def __enter__(self) -> "PrivateRng":
        _push_mode(self)
        return self

    def __exit__(self, *_: object) -> None:
        _pop_mode(None)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call an operator, with a private generator if it is random."""
        kwargs = kwargs or {}
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        if not is_random or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        generator = self._generator(args, kwargs)
        return _taking_generator(func)(*args, **{**kwargs, "generator": generator})

    def _generator(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Generator:
        tensors = [value for value in args if isinstance(value, Tensor)]
        device = str(tensors[0].device if tensors else kwargs.get("device") or "cpu")
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _taking_generator(func: Any) -> Any:
    """Return the overload of a random operator that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    overload = func._overloadname
    name = "generator" if overload == "default" else f"{overload}_generator"
    if name not in func._overloadpacket.overloads():
        raise NoGeneratorError(f"{func} takes no generator")
    return getattr(func._overloadpacket, name)


@contextmanager
def seeded_globally(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators for a block, then restore them.

    For code that may draw from any of them.  No other thread may draw at the same time.
    """
    with restored(RngState.now()):
        random.seed(seed)
        numpy.random.seed(seed % _WORDS)
        seed_torch(seed)
        yield
