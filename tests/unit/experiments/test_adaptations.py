"""Kinds of change are counted, and conditions are compared by rng seed."""

from typing import Any

import pytest

from experiments.adaptations import CONDITIONS, asked, count, made, table


def plan(epoch: int, kind: str) -> dict[str, Any]:
    return {"kind": "plan", "epoch": epoch, "plan_kind": kind}


def move(epoch: int, stage: str) -> dict[str, Any]:
    return {"kind": "lifecycle", "epoch": epoch, "to_stage": stage}


def test_a_change_is_made_when_its_plan_moves_a_kernel() -> None:
    events = [
        move(6, "BLENDING"),
        plan(6, "ensemble"),
        {"kind": "selection", "epoch": 6},
        move(6, "GERMINATED"),
        move(6, "GERMINATED"),
        plan(7, "diversify"),  # refused: what moves in the next epoch is not of this plan
        move(8, "GERMINATED"),
        plan(9, "verdict"),
        move(9, "CULLED"),
        plan(9, "replace"),
        move(9, "CULLED"),
        move(9, "GERMINATED"),
        plan(10, "specialize"),
        move(10, "BLENDING"),
        move(10, "CULLED"),
        plan(12, "specialize"),  # who is left has its share
        move(12, "CULLED"),
    ]
    removals = ["remove_neurons", "remove_neurons"]
    assert list(made(events)) == ["add_layer", "replace", *removals]


def test_decisions_ask_for_changes() -> None:
    def decision(kind: str, adaptation: str | None) -> dict[str, Any]:
        return {"kind": "decision", "decision_kind": kind, "adaptation": adaptation}

    events = [decision("wait", None), decision("adapt", "replace"), decision("cull", None)]
    asked_for = {"add_neurons": 0, "remove_neurons": 0, "add_layer": 0, "replace": 1}
    assert count(asked([*events, plan(1, "replace")])) == asked_for


def row(condition: str, rng_seed: int, accuracy: float, num_made: int) -> dict[str, Any]:
    kinds = ("add_neurons", "remove_neurons", "add_layer", "replace")
    return {
        "task": "digits",
        "condition": condition,
        "rng_seed": rng_seed,
        "test_accuracy": accuracy,
        "test_loss": 1 - accuracy,
        "flops": 10.0,
        "processor_s": 2.0,
        "asked": dict.fromkeys(kinds, 3),
        "made": dict.fromkeys(kinds, num_made),
    }


def test_differences_are_paired_by_rng_seed() -> None:
    found = table(
        [
            row("auto", 0, 0.9, 2),
            row("auto", 1, 0.8, 0),
            row("auto", 2, 0.1, 1),  # without its partner
            row("add_neurons", 0, 0.7, 5),
            row("add_neurons", 1, 0.8, 5),
        ]
    )["digits"]
    assert found["runs_of_auto"] == 3
    assert found["changes_of_auto"]["replace"] == {"asked": 9, "made": 3, "runs": 2}
    scores = found["conditions"]["auto"]
    assert scores["test_accuracy"]["mean"] == pytest.approx(0.6)
    assert scores["test_accuracy"]["minus_add_neurons"] == pytest.approx([0.1, 0.0, 0.2])
    assert scores["test_loss"]["minus_add_neurons"] == pytest.approx([-0.1, -0.2, 0.0])
    assert scores["flops"]["minus_add_neurons"] == [0, 0, 0]
    assert "minus_add_neurons" not in found["conditions"]["add_neurons"]["test_loss"]


def test_every_word_is_a_condition() -> None:
    assert CONDITIONS == ("auto", "add_neurons", "remove_neurons", "add_layer", "replace")
