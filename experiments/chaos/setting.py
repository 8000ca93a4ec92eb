"""The setting of a case: a short run, its undisturbed reference and a folder."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.chaos.child import Fault, disturbed
from experiments.chaos.forks import forked
from experiments.chaos.left import Json, lines_of

SHORT = (
    "train",
    "logger=none",
    "data=spirals",
    "data.num_samples=600",
    "model=mlp",
    "model.hidden=[12,12]",
    "policy=schedule",
    "strategy=round_robin",
    "epochs=24",
    "safety.max_cost=9",
    "policy.price=0",
    "attribution.standard_errors=1",
    "training.steps_per_epoch=8",
    "training.lr=0.03",
    "rng_seed=0",
)
"""A run of about a second that germinates three times, culls and fossilizes."""

GOVERNED = frozenset({"rollback"})


@dataclass(frozen=True, slots=True)
class Setting:
    """The folder of a case, its reference, and the reference's calls in each region."""

    folder: Path
    reference: Path
    calls: dict[str, list[int]]

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """The file with the output of all processes of the case."""
        return self.folder / "log"

    def command(self, further: Sequence[str] = ()) -> list[str]:
        """Return the command that starts the run."""
        return [*SHORT, *further, f"hydra.run.dir={self.run}"]

    def resumption(self) -> list[str]:
        """Return the command that resumes the run."""
        return ["train", "--resume", str(self.run)]

    def disturb(self, command: Sequence[str], fault: Fault | None) -> int:
        """Run a command with a fault in it; return the exit code of its process."""
        self.place.unlink(missing_ok=True)
        return forked(partial(disturbed, command, fault, self.place), self.log)

    @property
    def place(self) -> Path:
        """A file that exists once the last fault has struck."""
        return self.folder / "place.json"

    def has_struck(self) -> bool:
        """Return whether the last fault struck; the process may have ended before its moment."""
        return self.place.exists()

    def said(self) -> str:
        """Return the end of the output of all processes."""
        return self.log.read_text(errors="replace")[-600:] if self.log.exists() else ""


def is_finished(run: Path) -> bool:
    """Return whether a run's summary says that it is finished."""
    try:
        summary: Json = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(summary["status"] == "finished")


def recoveries(run: Path, where: Iterable[str]) -> int:
    """Return the number of recoveries in a run's events, for the named places of the program.

    Quarantines and breakers do not count: they follow from failures that are counted already.
    """
    places = frozenset(where)
    reported = 0
    for event in lines_of(run / "events.jsonl"):
        if event["kind"] == "recovery" and event["where"] in places:
            reported += 0 if _follows(event) else event["count"]
        if event["kind"] == "governor" and "governor" in places:
            reported += event["action"] in GOVERNED
    return reported


def miscounted(run: Path) -> list[str]:
    """Return the counts of recoveries in a run's summary that contradict its events."""
    summary: Json = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    events = lines_of(run / "events.jsonl")
    reported: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for event in events:
        if event["kind"] == "recovery":
            reported[event["recovered"]][event["strategy"]] += event["count"]
    rollbacks = [e for e in events if e["kind"] == "governor" and e["action"] in GOVERNED]
    pairs = {
        "recoveries": dict(reported[True]),
        "failures_not_recovered": dict(reported[False]),
        "rollbacks": len(rollbacks),
    }
    return [
        f"summary.json: {key} {summary[key]}, the events report {counted}"
        for key, counted in pairs.items()
        if summary[key] != counted
    ]


def _follows(event: dict[str, Any]) -> bool:
    is_of_kernel = event["where"] == "kernel"
    return is_of_kernel and event["strategy"] in ("quarantine", "circuit_breaker")
