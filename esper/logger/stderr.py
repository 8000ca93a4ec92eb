"""Where warnings go: to stderr, above the live display where there is one."""

import logging
import sys


class StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at that moment.

    A live display on the same screen puts something there that prints above it; a handler that
    keeps the stream it began with would write into the display.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a stderr that is gone is no reason to stop."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)
