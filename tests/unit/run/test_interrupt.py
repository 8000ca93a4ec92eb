"""Signals inside the block request a stop; outside it they do what they did before."""

import os
import signal

import pytest

from esper.run.interrupt import catch_signals


def test_the_first_signal_requests_a_stop_and_the_second_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catch_signals() as interrupt:
        assert not interrupt.is_requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.is_requested
        assert interrupt.signal_name == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.signal_name == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before
