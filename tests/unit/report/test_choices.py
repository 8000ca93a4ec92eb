"""Choices and what came of them, from events that can be checked by hand."""

from pathlib import Path
from typing import Any

from esper.report.choices import (
    blueprint_rows,
    in_words,
    ledger_rows,
    promise_rows,
    promises_of,
    record_rows,
    reward_rows,
    selection_rows,
)
from esper.rundir.records import Run, RunState, load_run


def run_of(*events: dict[str, Any]) -> Run:
    return Run(
        path=Path("x"), state=RunState.FINISHED, config={}, metrics=(), events=events, summary=None
    )


def event(kind: str, epoch: int, **body: Any) -> dict[str, Any]:
    seed = {"slot": "a", "seed": 0, "blueprint": "mlp"}
    return {"kind": kind, "epoch": epoch, **seed, **body}


def settled(epoch: int, gain: float, germinated: int = 2, *, rolled_back: bool = False) -> Any:
    outcome = {
        "slot": "a",
        "seed": 0,
        "blueprint": "mlp",
        "germinated_epoch": germinated,
        "gain": gain,
        "rolled_back": rolled_back,
    }
    return event("reward", epoch, outcome=outcome, reward={"total": gain, "explanation": "words"})


def test_a_selection_has_its_alternatives_with_their_scores_and_the_reason() -> None:
    others = [
        {"seed": 1, "blueprint": "conv", "score": 0.25},
        {"seed": 2, "blueprint": "lora", "score": None},
    ]
    chosen = event("selection", 6, score=0.5, alternatives=others, reason="highest")
    none = {
        "seed": None,
        "blueprint": None,
        "score": None,
        "alternatives": [],
        "reason": "all rest",
    }
    assert selection_rows(run_of(chosen, event("selection", 7, **none))) == [
        (6, "a", "mlp (seed 0)", "0.500", "conv (seed 1) 0.250, lora (seed 2)", "highest"),
        (7, "a", "-", "-", "", "all rest"),
    ]


def test_germinations_without_a_seed_for_one_reason_are_one_row() -> None:
    def none(epoch: int, slot: str) -> dict[str, Any]:
        reason = f"seed 0 rests until epoch {epoch + 3}"
        empty = {"seed": None, "blueprint": None, "score": None, "alternatives": []}
        return event("selection", epoch, reason=reason, **empty) | {"slot": slot}

    chosen = [event("selection", 9, score=0.5, alternatives=[], reason="highest")] * 2
    rows = selection_rows(run_of(none(6, "a"), none(6, "b"), none(7, "a"), *chosen))
    assert [(row[0], row[1], row[5]) for row in rows] == [
        (
            6,
            "a",
            "seed 0 rests until epoch 9 (2 times, epochs 6 to 7; the numbers are those of the "
            "first)",
        ),
        (6, "b", "seed 0 rests until epoch 9"),
        (9, "a", "highest"),
        (9, "a", "highest"),
    ]


def test_a_seed_has_the_history_of_its_last_settled_activation(
    tmp_path: Path, make_run: Any
) -> None:
    rows = record_rows(load_run(make_run(tmp_path / "run")))
    assert rows == [
        ("block1 seed 0", "1", "1", "0", "4"),
        ("block1 seed 3", "1", "0", "1", "16"),
        ("block2 seed 1", "2", "1", "1", "19"),
        ("block2 seed 2", "1", "1", "0", "10"),
        ("head seed 0", "1", "0", "1", "12"),
    ]


def planned(epoch: int, *expected: float | None) -> dict[str, Any]:
    changes = [
        {"action": "germinate", "seed": seed, "blueprint": "mlp", "expected_gain": gain}
        for seed, gain in enumerate(expected)
    ]
    return event("plan", epoch, changes=changes)


def test_a_promise_stands_beside_the_gain_of_its_seed() -> None:
    events = [planned(2, 0.02, 0.01), planned(3, 0.03), planned(4, 0.04), planned(5, None)]
    events += [settled(9, 0.01), settled(10, 0.9, 3, rolled_back=True), settled(10, 0.1, 5)]
    promises = promises_of(run_of(*events))
    assert promise_rows(promises) == [
        (2, "a seed 0", "mlp", "+2.0 %", "+1.0 %"),
        (2, "a seed 1", "mlp", "+1.0 %", "-"),
        (3, "a seed 0", "mlp", "+3.0 %", "-"),
        (4, "a seed 0", "mlp", "+4.0 %", "-"),
    ]
    assert in_words(promises) == "1 pair of gains; a correlation needs 3."


def test_the_correlation_of_three_promises_is_told() -> None:
    events = [planned(epoch, epoch / 100) for epoch in (2, 3, 4)]
    measured = [settled(9, gain, epoch) for epoch, gain in ((2, 0.0), (3, 0.03), (4, 0.03))]
    words = in_words(promises_of(run_of(*events, *measured)))
    assert words == "Correlation of expected and measured gain: +0.87 (3 pairs)."
    flat = [settled(9, 0.01, epoch) for epoch in (2, 3, 4)]
    words = in_words(promises_of(run_of(*events, *flat)))
    assert words == "3 pairs of gains, all equal on one side: there is no correlation."


def test_a_reward_has_the_score_of_its_own_activation() -> None:
    look = event("performance", 6, composite=0.75)
    rows = reward_rows(run_of(look, settled(8, 0.02), settled(20, -0.02)))
    assert [row[6:8] for row in rows] == [("0.75", "0.020"), ("-", "-0.020")]


def test_a_reward_that_was_revised_is_shown_once_with_its_latest_values() -> None:
    verdict = settled(8, 0.02)
    later = settled(13, 0.02)
    later["outcome"] |= {"gains": [{"gain": 0.02}, {"gain": 0.01}]}
    later |= {"epochs_after_keeping": 5, "reward": {"total": 0.01, "explanation": "later"}}
    look = event("performance", 8, composite=0.75)
    (row,) = reward_rows(run_of(look, verdict, later))
    assert row[0] == 8
    assert row[4:] == ("+2.0 %", "+1.0 %", "0.75", "0.010", "later")


def test_the_mean_of_an_arm_is_that_of_the_rewards_shown(tmp_path: Path, make_run: Any) -> None:
    run = load_run(make_run(tmp_path / "run"))
    rows = ledger_rows(run)
    assert [row[:2] for row in rows] == sorted({(row[0], row[1]) for row in rows})
    shown = {(row[1].split()[0], row[2]): row[7] for row in reward_rows(run)}
    assert {row[:2]: row[3] for row in rows} == shown, "every arm has one trial here"


def test_arms_keep_their_last_record_with_its_error() -> None:
    first = event("ledger", 6, trials=1, mean_reward=0.5, standard_error=None, reward=0.5)
    last = event("ledger", 9, trials=2, mean_reward=0.25, standard_error=0.25, reward=0.0)
    assert ledger_rows(run_of(first, last)) == [("a", "mlp", "2", "0.250 ± 0.250", "0.000")]


def test_grafts_failures_and_penalties_are_counted_by_blueprint() -> None:
    moves = [event("lifecycle", 1, to_stage=stage) for stage in ("GERMINATED", "CULLED")]
    moves += [event("lifecycle", 1, to_stage=stage) for stage in ("GERMINATED", "FOSSILIZED")]

    def failed(strategy: str, count: int, blueprint: str | None = "lora") -> dict[str, Any]:
        body = {"where": "kernel", "strategy": strategy, "count": count, "blueprint": blueprint}
        return event("recovery", 5, **body)

    failures = [failed("degrade", 1), failed("fallback", 2), failed("quarantine", 1)]
    values = {"policy/heuristic/penalty/mlp": 2.0, "policy/heuristic/penalty/conv": 0.0}
    penalty = event("policy_update", 7, values=values)
    assert blueprint_rows(run_of(*moves, *failures, failed("retry", 1, None), penalty)) == [
        ("lora", "0", "0", "0", "3", "barred from epoch 5 on"),
        ("mlp", "2", "1", "1", "0", "2.00 at epoch 7"),
    ]
