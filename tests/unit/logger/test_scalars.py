"""Metric names are paths; unknown values are omitted, not zero."""

from collections import Counter
from typing import Any

from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.event import Event
from esper.contracts.stage import SeedStage
from esper.logger.scalars import counted, scalars


def test_a_line_becomes_paths_and_unknowns_are_left_out(line: Any) -> None:
    numbers = scalars(line(train_accuracy=float("nan")))
    assert numbers == {
        "train/loss": 0.5,
        "val/loss": 0.25,
        "val/accuracy": 0.875,
        "train/learning_rate": 0.003,
        "network/params": 1930,
        "network/flops": 2e6,
        "network/live_seeds": 1,
        "time/step_ms": 1.5,
        "time/control_ms": 2.0,
        "time/checkpoint_ms": 0.0,
        "slot/block2/1/stage": 3,
        "slot/block2/1/alpha": 0.5,
        "slot/block2/1/gain": 0.03,
    }


def test_decisions_and_moves_are_counted_by_kind(move: Any) -> None:
    counts: Counter[str] = Counter()
    wait = Decision(kind=DecisionKind.WAIT, reason="calm")
    for _ in range(2):
        counts.update(counted(Event(epoch=1, body=wait)))
    refused = Refusal(rule="cooldown", reason="rests", decision=wait)
    counts.update(counted(Event(epoch=1, body=refused)))
    counts.update(counted(move(to_stage=SeedStage.CULLED)))
    assert counts == {"decisions/wait": 2, "decisions/refused": 1, "lifecycle/culled": 1}
