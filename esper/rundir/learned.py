"""Read the folder of a training of a policy's network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.rundir.layout import CONFIG, LEARNING
from esper.rundir.records import RunState, load_lines, load_object, load_summary, state_of

_NUMBERS = (
    "return",
    "waits",
    "denied",
    "success",
    "entropy",
    "kl",
    "clip_fraction",
    "explained_variance",
    "value_loss",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The records of a training.

    state: that of its folder when it was read.
    lines: of learning.jsonl, one an update; at least one.
    config, summary: values of config.json and summary.json, None while it is unfinished.
    """

    path: Path
    state: RunState
    config: dict[str, Any]
    lines: tuple[dict[str, Any], ...]
    summary: dict[str, Any] | None

    @property
    def name(self) -> str:
        """The policy's name and that of the folder."""
        policy = (self.config.get("policy") or {}).get("name")
        return f"{policy or self.path.parent.name} {self.path.name}"


def is_learned(folder: Path) -> bool:
    """Return whether a folder holds updates of a network."""
    return (folder / LEARNING).exists()


def load_learned(folder: Path) -> Learned:
    """Return the records of a folder with updates.

    Raises:
        DataError: naming the file, and the line, that is missing or broken.
    """
    return Learned(
        path=folder,
        state=state_of(folder),
        config=load_object(folder / CONFIG) or {},
        lines=load_lines(folder / LEARNING, _check, torn=False),
        summary=load_summary(folder),
    )


def _check(line: dict[str, Any]) -> str | None:
    missing = [name for name in ("update", "refused", *_NUMBERS) if name not in line]
    return f"no {missing[0]}" if missing else None
