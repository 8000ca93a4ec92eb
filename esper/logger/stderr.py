"""The log handler for warnings: writes to stderr, above a live display."""

import logging
import sys


class StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`.

    A live display on the same screen replaces `sys.stderr` by a stream that prints above it; a
    handler that keeps its first stream would write into the display.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a closed stderr raises nothing."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)
