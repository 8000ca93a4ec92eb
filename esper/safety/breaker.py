"""A circuit breaker: what keeps failing is left alone for a while, then tried once.

    closed --failures in a row--> open --rest--> half open --success--> closed
                                   ^                 |
                                   +-----failure-----+

It has no clock.  `now` is any number that rises: epochs for kernels, seconds for servers.
"""

from typing import Any


class Breaker:
    """Says whether something that may fail is to be tried.

    Args:
        failures: so many in a row open it, >= 1.
        rest: how long it stays open before one trial, in units of `now`, >= 0.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(self, failures: int = 3, rest: float = 5.0) -> None:
        if failures < 1:
            raise ValueError(f"failures must be >= 1, got {failures}")
        if not rest >= 0:
            raise ValueError(f"rest must be >= 0, got {rest}")
        self.failures = failures
        self.rest = rest
        self.count = 0
        self.opened_at: float | None = None
        self.is_on_trial = False

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half_open` while a trial is under way."""
        if self.opened_at is None:
            return "closed"
        return "half_open" if self.is_on_trial else "open"

    def allows(self, now: float) -> bool:
        """Return whether to try now; when it has rested, this hands out the one trial.

        A trial that nobody reported on is given up, and another allowed, after another rest.
        """
        if self.opened_at is None:
            return True
        if now - self.opened_at < self.rest:
            return False
        self.is_on_trial = True
        self.opened_at = now
        return True

    def succeeded(self) -> None:
        """Note that a try worked: it is closed, and failures count from 0."""
        self.count, self.opened_at, self.is_on_trial = 0, None, False

    def failed(self, now: float) -> bool:
        """Note that a try failed; return whether this is the one that opens it.

        A failure of something that began before it opened changes nothing.
        """
        if self.opened_at is not None and not self.is_on_trial:
            return False
        self.count += 1
        if self.count < self.failures and not self.is_on_trial:
            return False
        self.opened_at, self.is_on_trial = now, False
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes, as plain values."""
        return {
            "count": self.count,
            "opened_at": self.opened_at,
            "is_on_trial": self.is_on_trial,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state_dict` was taken."""
        self.count, self.opened_at = state["count"], state["opened_at"]
        self.is_on_trial = state["is_on_trial"]
