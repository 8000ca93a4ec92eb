"""No logger in addition to the run's own files and the console."""

from dataclasses import dataclass
from pathlib import Path

from esper.logger.base import Sink


@dataclass(frozen=True)
class NoLogger:
    """Adds no sink."""

    def build(self, run_dir: Path) -> list[Sink]:
        """Return no sink."""
        return []
