"""Stop a run when the machine or the user asks for it: at the next step, with nothing lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether a run was asked to stop, and by what.

    signal_name: the first signal that came, None while none has.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None

    @property
    def is_asked(self) -> bool:
        """True once a signal has come."""
        return self.signal_name is not None

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Note the first signal; the second does not wait for anything.

        Raises:
            KeyboardInterrupt: at the second signal.
        """
        if self.is_asked:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name


@contextmanager
def catch_signals() -> Iterator[Interrupt]:
    """Turn SIGINT and SIGTERM into a wish to stop, in the block alone.

    Only a process's main thread can listen; elsewhere the signals stay its business.
    """
    stop = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
