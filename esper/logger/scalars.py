"""The numbers of one epoch under the metric names that charts use."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from esper.contracts.event import Event, EventKind
from esper.contracts.stage import SeedStage

STAGE_NUMBERS = {str(stage): number for number, stage in enumerate(SeedStage)}
"""DORMANT is 0, and so on in the order of the lifecycle."""

_PATHS = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "train_accuracy": "train/accuracy",
    "val_accuracy": "val/accuracy",
    "learning_rate": "train/learning_rate",
    "params": "network/params",
    "flops": "network/flops",
    "live_seeds": "network/live_seeds",
    "step_ms": "time/step_ms",
    "train_ms": "time/train_ms",
    "evaluation_ms": "time/evaluation_ms",
    "control_ms": "time/control_ms",
    "attribution_ms": "time/attribution_ms",
    "checkpoint_ms": "time/checkpoint_ms",
}


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Return every known number of an epoch's line; what is unknown is left out."""
    found = {_PATHS.get(key, key): value for key, value in line.items() if _is_number(value)}
    found.pop("epoch", None)
    for seed in line.get("seeds", ()):
        prefix = f"slot/{seed['slot'] or 'host'}/{seed['seed']}"
        found[f"{prefix}/stage"] = STAGE_NUMBERS[seed["stage"]]
        for key in ("alpha", "ablation", "gain"):
            if _is_number(seed.get(key)):
                found[f"{prefix}/{key}"] = seed[key]
    return found


class Counts:
    """How many decisions of each kind, and moves into each stage, there were so far."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """Count a decision, a refusal or a move; other events are not counted."""
        if event.kind is EventKind.DECISION:
            self._counts[f"decisions/{event.body.kind}"] += 1
        elif event.kind is EventKind.SAFETY:
            self._counts["decisions/refused"] += 1
        elif event.kind is EventKind.LIFECYCLE:
            self._counts[f"lifecycle/{event.body.to_stage.lower()}"] += 1

    def values(self) -> dict[str, float]:
        """Return the counts by metric name."""
        return dict(self._counts)


def _is_number(value: object) -> bool:
    """Say whether `value` is a finite number; a bool is none, and NaN differs from itself."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0
