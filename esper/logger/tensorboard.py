"""TensorBoard: the epoch's numbers as scalars; moves, selections, failures, rollbacks as text."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from esper.contracts.errors import ConfigError
from esper.contracts.event import Event, GovernorAction, LifecycleMove, Recovery
from esper.contracts.plan import Selection
from esper.logger.base import Sink
from esper.logger.format import place, scored
from esper.logger.scalars import EventNumbers, scalars
from esper.logger.serialise import plain


@dataclass(frozen=True)
class Tensorboard:
    """Writes to `tensorboard/` in the run's folder."""

    def build(self, run_dir: Path) -> list[Sink]:
        """Return one sink; raise ConfigError if TensorBoard is not installed."""
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "logger=tensorboard needs a library that is not installed: "
                "pip install 'esper-morph[tensorboard]'"
            )
        return [TensorboardSink(run_dir / "tensorboard")]


class TensorboardSink:
    """Passes numbers to a writer that has its own thread."""

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._numbers = EventNumbers()

    def start(self, run: dict[str, Any]) -> None:
        """Open the event file."""
        from torch.utils.tensorboard import SummaryWriter

        # Discards the points of epochs that a resumed run trains again.
        resumed = run.get("resumed_epoch")
        self._writer = SummaryWriter(str(self._folder), purge_step=resumed + 1 if resumed else None)

    def event(self, event: Event) -> None:
        """Count the event; write what people read as text."""
        self._numbers.take(event)
        if text := _text(event):
            self._writer.add_text(str(event.kind), text, event.epoch)

    def epoch(self, line: dict[str, Any]) -> None:
        """Write one point of every curve."""
        for name, value in (scalars(line) | self._numbers.of_epoch()).items():
            self._writer.add_scalar(name, value, line["epoch"])

    def close(self, summary: dict[str, Any] | None) -> None:
        """Write buffered points and close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _text(event: Event) -> str | None:
    match event.body:
        case LifecycleMove() as move:
            where = f"{place(move.slot, move.seed)} ({move.blueprint})"
            return f"{where}: {move.from_stage} to {move.to_stage}. {move.reason}"
        case GovernorAction() as action:
            return action.reason
        case Selection() as chosen:
            return _choice(chosen)
        case Recovery() as recovery:
            return recovery.message
        case _:
            return None


def _choice(chosen: Selection) -> str:
    if chosen.seed is None:
        return f"{place(chosen.slot)}: no seed chosen. {chosen.reason}"
    others = scored(plain(chosen.alternatives)) or "none"
    made = scored([plain(chosen)])
    return f"{place(chosen.slot)}: {made}; alternatives: {others}. {chosen.reason}"
