"""What an option of the group `logger` can do."""

from pathlib import Path
from typing import Protocol

from esper.contracts.event import Sink


class Logger(Protocol):
    """An option that says where else a run is told of."""

    def build(self, run_dir: Path) -> list[Sink]:
        """Return the sinks of a run that lives in `run_dir`; none is fine.

        Raises:
            ConfigError: if the option cannot work here, for want of a library or a login.
        """
