"""Circuit breaker: stop calling something that keeps failing, and try it again after a rest.

    closed --failures in a row--> open --rest--> half open --success--> closed
                                   ^                 |
                                   +-----failure-----+

Times are numbers of epochs.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """State of one breaker.

    count: failures in a row.
    opened_at: epoch in which it opened or its trial began; None while closed.
    failed_at: epoch of the last failure, None without any.
    is_on_trial: True while half open.
    """

    count: int = 0
    opened_at: int | None = None
    failed_at: int | None = None
    is_on_trial: bool = False

    @property
    def is_open(self) -> bool:
        """True while it rests and allows no call."""
        return self.opened_at is not None and not self.is_on_trial

    def allows(self, now: int, rest: int) -> bool:
        """Return whether a call is allowed now; starts the trial after `rest` epochs.

        A trial without success or failure may be repeated after another rest.
        """
        if self.opened_at is None:
            return True
        if now - self.opened_at < rest:
            return False
        self.is_on_trial = True
        self.opened_at = now
        return True

    def succeed(self) -> None:
        """Close it and reset the count of failures."""
        self.count, self.opened_at, self.is_on_trial = 0, None, False

    def fail(self, now: int, most: int) -> bool:
        """Count a failure; return whether it opens the breaker.

        It opens on the `most`-th failure in a row and on any failure during a trial.  Failures
        while it is open do not count.
        """
        self.failed_at = now
        if self.is_open:
            return False
        self.count += 1
        if self.count < most and not self.is_on_trial:
            return False
        self.opened_at, self.is_on_trial = now, False
        return True
