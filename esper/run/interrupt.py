"""Stop a run at its next training step after SIGINT or SIGTERM, so that it can be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A request to stop a run.

    signal_name: name of the first signal received, None before.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None

    @property
    def is_requested(self) -> bool:
        """True once a signal was received."""
        return self.signal_name is not None

    def request(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal: note the first one, stop the process at once at the second.

        Raises:
            KeyboardInterrupt: at the second signal.
        """
        if self.is_requested:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name


@contextmanager
def catch_signals() -> Iterator[Interrupt]:
    """Turn SIGINT and SIGTERM into a stop request inside the `with` block.

    In a thread other than the main one nothing changes, because only the main one handles signals.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt.request) for number in _SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
