"""The numbers of one epoch under the metric names that charts use."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from esper.contracts.event import (
    Event,
    EventKind,
    Judgement,
    LedgerUpdate,
    PolicyUpdate,
    SeedPerformance,
)
from esper.contracts.plan import Plan
from esper.contracts.stage import STAGE_NUMBERS, SeedStage
from esper.logger.format import is_number
from esper.logger.promises import Promises

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
    "probe_ms": "time/probe_ms",
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


class EventNumbers:
    """Numbers that events bring: counters, and values of the epoch in which they were reported.

    promises: what the plans expected of each seed, and what was measured.
    """

    def __init__(self) -> None:
        self.promises = Promises()
        self._counts: Counter[str] = Counter()
        self._values: dict[str, float | None] = {}

    def take(self, event: Event) -> None:
        """Take one event."""
        self._counts.update(counted(event))
        self._values |= self._reported(event)

    def of_epoch(self) -> dict[str, float]:
        """Return the counters, and every known value reported since the last call."""
        values, self._values = self._values, {}
        return {name: value for name, value in values.items() if is_number(value)} | self._counts

    def _reported(self, event: Event) -> Mapping[str, float | None]:
        match event.body:
            case PolicyUpdate() as update:
                return update.values
            case SeedPerformance() as look:
                return {f"slot/{look.slot or 'host'}/{look.seed}/composite": look.composite}
            case LedgerUpdate() as update:
                return _rewards(update)
            case Plan() as plan:
                self._note(event.epoch, plan)
                return {f"plan/{plan.slot or 'host'}/expected_gain": plan.expected_improvement}
            case Judgement() as judged:
                return self._measured(judged)
            case _:
                return {}

    def _note(self, epoch: int, plan: Plan) -> None:
        for change in plan.changes:
            if change.seed is not None and change.blueprint is not None:
                expected = change.expected_gain
                self.promises.promise(epoch, plan.slot, change.seed, change.blueprint, expected)

    def _measured(self, judged: Judgement) -> dict[str, float | None]:
        outcome = judged.outcome
        gain = None if outcome.rolled_back else outcome.gain
        began = outcome.germinated_epoch
        promise = self.promises.settle(began, outcome.slot, outcome.seed, gain)
        measured = None if promise is None else promise.measured
        return {
            f"plan/{outcome.slot or 'host'}/measured_gain": measured,
            "plan/correlation": self.promises.agreement.correlation,
        }


def _rewards(update: LedgerUpdate) -> dict[str, float | None]:
    prefix = f"ledger/{update.slot or 'host'}/{update.blueprint}"
    seed = f"slot/{update.slot or 'host'}/{update.seed}"
    return {
        f"{seed}/activations": update.history.activations,
        f"{seed}/grafts": update.history.grafts,
        f"{seed}/failures": update.history.failures,
        f"{seed}/activated_epoch": update.history.activated_epoch,
        f"{prefix}/trials": update.trials,
        f"{prefix}/mean_reward": update.mean_reward,
        f"{prefix}/standard_error": update.standard_error,
        f"{prefix}/reward": update.reward,
    }


def is_failure(where: str, strategy: str) -> bool:
    """Return whether a recovery reports a kernel that failed, not what followed from failures."""
    return where == "kernel" and strategy not in ("circuit_breaker", "quarantine")


def counted(event: Event) -> dict[str, int]:
    """Return how much `event` raises each counter: decisions, moves, grafts and failures."""
    body = event.body
    match event.kind:
        case EventKind.DECISION:
            return {f"decisions/{body.kind}": 1}
        case EventKind.SAFETY:
            return {"decisions/refused": 1}
        case EventKind.LIFECYCLE:
            grafts = {f"blueprint/{body.blueprint}/grafts": 1}
            is_graft = body.to_stage is SeedStage.FOSSILIZED
            return {f"lifecycle/{body.to_stage.lower()}": 1} | (grafts if is_graft else {})
        case EventKind.RECOVERY if is_failure(body.where, body.strategy):
            return {f"blueprint/{body.blueprint}/failures": body.count}
        case _:
            return {}
