"""Circuit breaker: leave alone what keeps failing for a while, then try it once.

    closed --failures in a row--> open --rest--> half open --success--> closed
                                   ^                 |
                                   +-----failure-----+

It has no clock: `now` is the number of the epoch.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """State of one breaker.

    count: failures in a row.
    opened_at: when it opened, or when its trial began; None while it is closed.
    failed_at: when it last failed, None if it never did.
    is_on_trial: True while it is half open.
    """

    count: int = 0
    opened_at: int | None = None
    failed_at: int | None = None
    is_on_trial: bool = False

    @property
    def is_open(self) -> bool:
        """True if a try is not allowed, for the rest is not over."""
        return self.opened_at is not None and not self.is_on_trial

    def allows(self, now: int, rest: int) -> bool:
        """Return whether to try now; once `rest` is over, this starts the one trial.

        If a trial is neither a success nor a failure, another is allowed after another rest.
        """
        if self.opened_at is None:
            return True
        if now - self.opened_at < rest:
            return False
        self.is_on_trial = True
        self.opened_at = now
        return True

    def succeed(self) -> None:
        """Close it: failures count from 0 again."""
        self.count, self.opened_at, self.is_on_trial = 0, None, False

    def fail(self, now: int, most: int) -> bool:
        """Count a failure; return whether it opens the breaker.

        The `most`-th failure in a row opens it, and so does any during a trial.  While it is open
        further failures change nothing.
        """
        self.failed_at = now
        if self.is_open:
            return False
        self.count += 1
        if self.count < most and not self.is_on_trial:
            return False
        self.opened_at, self.is_on_trial = now, False
        return True
