"""Measure what the epochs of a run cost the processor, the same way for every arm.

Counted are the processor seconds, user and system, of all threads of the process from the first
epoch to the last: training, evaluation, control, attribution, and writing the lines of the records.
Not counted are imports, loading data, building the network, writing checkpoints, and the final
test.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import esper.run.run
from esper.run.checkpoints import RunCheckpoints

_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class Meter:
    """Processor seconds of the epochs of the runs inside `metered`."""

    def __init__(self) -> None:
        self._epochs_s = 0.0
        self._saving_s = 0.0

    @property
    def processor_s(self) -> float:
        """Processor seconds so far, without those of saving."""
        return self._epochs_s - self._saving_s

    def time_epochs(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, whose processor seconds are then counted."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self._epochs_s += time.process_time() - began

        return timed

    def time_saving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, whose processor seconds are then left out.

        Only those of its own thread: kernels that are built meanwhile in another one count.
        """

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self._saving_s += time.thread_time() - began

        return timed


@contextmanager
def metered() -> Iterator[Meter]:
    """Measure the runs inside the `with` block."""
    meter = Meter()
    places: list[tuple[Any, str, Any]] = [
        (esper.run.run, "run_epochs", meter.time_epochs),
        (RunCheckpoints, "save", meter.time_saving),
    ]
    originals = [getattr(owner, name) for owner, name, _ in places]
    for (owner, name, wrap), original in zip(places, originals, strict=True):
        setattr(owner, name, wrap(original))
    try:
        yield meter
    finally:
        for (owner, name, _), original in zip(places, originals, strict=True):
            setattr(owner, name, original)


def reset_peak_memory() -> bool:
    """Let the peak of the resident memory count from now on; return whether that is possible.

    Linux alone can; elsewhere a peak is that of the process since its start.
    """
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True
