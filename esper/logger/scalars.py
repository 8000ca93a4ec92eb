"""The numbers of one epoch under the metric names that charts use."""

from collections.abc import Mapping
from typing import Any

from esper.contracts.event import Event, EventKind
from esper.contracts.stage import STAGE_NUMBERS
from esper.logger.format import is_number

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
    """Return every known number of an epoch's line by metric name."""
    numbers = {_PATHS.get(key, key): value for key, value in line.items() if key != "epoch"}
    for seed in line.get("seeds", ()):
        prefix = f"slot/{seed['slot'] or 'host'}/{seed['seed']}"
        numbers[f"{prefix}/stage"] = STAGE_NUMBERS[seed["stage"]]
        for key in ("alpha", "ablation", "gain"):
            numbers[f"{prefix}/{key}"] = seed.get(key)
    return {name: value for name, value in numbers.items() if is_number(value)}


def counted(event: Event) -> list[str]:
    """Return the names of the counters that `event` raises by one: decisions and moves."""
    match event.kind:
        case EventKind.DECISION:
            return [f"decisions/{event.body.kind}"]
        case EventKind.SAFETY:
            return ["decisions/refused"]
        case EventKind.LIFECYCLE:
            return [f"lifecycle/{event.body.to_stage.lower()}"]
        case _:
            return []
