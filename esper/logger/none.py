"""No logger beside the run's own files and the console."""

from dataclasses import dataclass
from pathlib import Path

from esper.contracts.event import Sink


@dataclass(frozen=True)
class NoLogger:
    """Tells nobody else."""

    def build(self, run_dir: Path) -> list[Sink]:
        """Return no sink."""
        return []
