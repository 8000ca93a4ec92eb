"""A row of the table of options: two commands, and the field of a run's files that must differ."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.chaos.left import lines_of, without_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An option, and what shows that it acts.

    key: `group.key`; `group/option.key` also selects the option of the group.
    other: the value that is compared with the default.
    base: overrides of both commands, which do not set the group's other keys.
    field: `summary.<key>`, `metrics.<key>` of all epochs, or `events.<kind>.<path>` of all events
        of that kind.
    """

    key: str
    other: str
    base: str
    field: str

    @property
    def group(self) -> str:
        """The group of the option; "" for a key of no group."""
        return self.key.rpartition(".")[0].partition("/")[0]

    @property
    def default_command(self) -> tuple[str, ...]:
        """The overrides of the run in which the option has its default."""
        option = self.key.rpartition(".")[0].partition("/")[2]
        return (*self.base.split(), *([f"{self.group}={option}"] if option else []))

    @property
    def other_command(self) -> tuple[str, ...]:
        """The overrides of the run in which the option has the other value, which comes last."""
        name = self.key.rpartition(".")[2]
        place = f"{self.group}.{name}" if self.group else name
        return (*self.default_command, f"{place}={self.other}")

    @property
    def in_words(self) -> str:
        """The command with the other value."""
        return f"esper train {' '.join(self.other_command)}"


def values(run: Path, field: str) -> list[Any]:
    """Return all values of a field in the files of a run, without clock times.

    Raises:
        KeyError: if a record of the named kind lacks the field.
    """
    file, *path = field.split(".")
    if file == "summary":
        records = [json.loads((run / "summary.json").read_text(encoding="utf-8"))]
    else:
        records = lines_of(run / f"{file}.jsonl")
    if file == "events":
        kind = path.pop(0)
        records = [record for record in records if record["kind"] == kind]
    return [_inside(without_clock(record), path) for record in records]


def _inside(record: Any, path: list[str]) -> Any:
    for name in path:
        record = record[name]
    return record
