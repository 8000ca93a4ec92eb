"""Draw random numbers that are a function of a seed alone, without moving any global generator.

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

from esper.probe.rng_state import RngState, restored

_WORDS = 2**32
"""NumPy's legacy generator takes seeds below this."""


class NoGeneratorError(RuntimeError):
    """A random operator can only draw from a global generator."""


class PrivateRng(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes random operators of a block, in this thread, draw from private generators.

    The numbers are those that the global generator would give after `manual_seed(seed)`.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}

    # The usual way to enter a mode sets variables that all threads share, which would stop
    # compiling in the other threads.  This one is pushed onto this thread's stack alone.
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
        """Call an operator, with a private generator if it is a random one."""
        del types
        kwargs = kwargs or {}
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        if not is_random or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        taking = _taking_generator(func)
        return taking(*args, **{**kwargs, "generator": self._generator(args, kwargs)})

    def _generator(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Generator:
        tensors = [value for value in args if isinstance(value, Tensor)]
        device = str(tensors[0].device if tensors else kwargs.get("device") or "cpu")
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _taking_generator(func: Any) -> Any:
    """Return the variant of a random operator that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    overload = func._overloadname
    name = "generator" if overload == "default" else f"{overload}_generator"
    packet = func._overloadpacket
    if name not in packet.overloads():
        raise NoGeneratorError(f"{func} takes no generator")
    return getattr(packet, name)


@contextmanager
def seeded_globally(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators for a block, then restore them.

    For code that may draw from any of them.  No other thread may draw meanwhile.
    """
    with restored(RngState.now()):
        random.seed(seed)
        numpy.random.seed(seed % _WORDS)
        torch.manual_seed(seed)
        yield
