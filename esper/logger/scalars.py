"""The numbers of one epoch under the metric names that charts use."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from esper.contracts.event import Event, EventKind
from esper.contracts.stage import SeedStage
from esper.logger.format import is_number

STAGE_NUMBERS = {str(stage): number for number, stage in enumerate(SeedStage)}
"""DORMANT is 0, the others follow in the order of the lifecycle."""

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
    """Return every number of an epoch's line by metric name; unknown ones are left out."""
    numbers = {_PATHS.get(key, key): value for key, value in line.items() if key != "epoch"}
    for seed in line.get("seeds", ()):
        prefix = f"slot/{seed['slot'] or 'host'}/{seed['seed']}"
        numbers[f"{prefix}/stage"] = STAGE_NUMBERS[seed["stage"]]
        for key in ("alpha", "ablation", "gain"):
            numbers[f"{prefix}/{key}"] = seed.get(key)
    return {name: value for name, value in numbers.items() if is_number(value)}


class Counts:
    """Counts decisions by kind, and moves by the stage they lead to."""

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
