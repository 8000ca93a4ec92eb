"""Stop a run when the machine or the user asks for it: at the next step, with nothing lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A request to stop a run.

    signal_name: the first signal that the process got, None while it got none.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None

    @property
    def is_requested(self) -> bool:
        """True once the process got a signal."""
        return self.signal_name is not None

    def request(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal: the first one is noted, the second one stops the process at once.

        Raises:
            KeyboardInterrupt: at the second signal.
        """
        if self.is_requested:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name


@contextmanager
def catch_signals() -> Iterator[Interrupt]:
    """Turn SIGINT and SIGTERM into a stop request inside the `with` block.

    Python lets only the main thread handle signals; in another one nothing is changed.
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
