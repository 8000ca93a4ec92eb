"""The history of seeds, from events alone."""

from pathlib import Path
from typing import Any

from esper.report.history import Span, decision_rows, lanes, seed_rows, wait_rows
from esper.rundir.records import Run, RunState, load_run


def test_a_lane_holds_every_stage_of_a_seed_with_its_ends(tmp_path: Path, make_run: Any) -> None:
    stages = lanes(load_run(make_run(tmp_path / "run")))
    assert list(stages) == [
        ("block1", 0),
        ("block1", 3),
        ("block2", 1),
        ("block2", 2),
        ("head", 0),
    ]
    spans = [span for span in stages["block1", 0] if span.end > span.start]
    assert spans == [
        Span(stage="TRAINING", blueprint="mlp", start=4, end=5),
        Span(stage="BLENDING", blueprint="mlp", start=5, end=6),
        Span(stage="SHADOWING", blueprint="mlp", start=6, end=8),
        Span(stage="PROBATIONARY", blueprint="mlp", start=8, end=10),
        Span(stage="FOSSILIZED", blueprint="mlp", start=10, end=40),
    ]


def test_a_seed_that_lived_twice_has_both_lives_in_one_lane(tmp_path: Path, make_run: Any) -> None:
    spans = lanes(load_run(make_run(tmp_path / "run")))["block2", 1]
    embargo = [span for span in spans if span.stage == "EMBARGOED"]
    assert [(span.blueprint, span.start, span.end) for span in embargo] == [("lora", 13, 18)]
    births = [span.blueprint for span in spans if span.stage == "GERMINATED"]
    assert births == ["lora", "squeeze_excite"]


def test_every_seed_of_a_slot_has_a_row_the_untouched_ones_too(
    tmp_path: Path, make_run: Any
) -> None:
    rows = seed_rows(load_run(make_run(tmp_path / "run")))
    assert len(rows) == 3 * 4
    assert rows[0] == (
        "block1",
        0,
        "FOSSILIZED",
        "10",
        "mlp",
        "1.00",
        "+6.2 %",
        "+8.2 %",
        "0.56",
    )
    assert rows[1] == ("block1", 1, "DORMANT", "-", "-", "-", "-", "-", "-")
    assert rows[3][2] == "DORMANT"
    assert rows[3][4:6] == ("affine", "-")


def test_waiting_is_no_verdict_and_a_refusal_names_its_rule(tmp_path: Path, make_run: Any) -> None:
    rows = decision_rows(load_run(make_run(tmp_path / "run")))
    assert [epoch for epoch, *_ in rows] == [4, 7, 8, 10, 12, 16, 19]
    assert rows[0][1] == "adapt add neurons"
    refused = "cooldown: slot 'head' rests until 20 (4 times, epochs 8, 17, 26, 35)"
    assert rows[2][1:] == ("adapt refused", "head", refused)


def test_refusals_that_differ_in_numbers_are_one_row_and_others_are_not() -> None:
    def refused(epoch: int, slot: str, reason: str) -> dict[str, Any]:
        decision = {"kind": "adapt", "slot": slot, "seed": None, "adaptation": "add_layer"}
        head = {"kind": "safety", "epoch": epoch, "rule": "budget"}
        return {**head, "reason": reason, "decision": decision}

    events = [refused(epoch, "a", f"'mlp' takes {epoch} MB of 4") for epoch in (7, 8, 8, 10)]
    events += [refused(8, "b", "'mlp' takes 8 MB of 4"), refused(9, "a", "'conv' takes 9 MB of 4")]
    assert decision_rows(run_of(*events)) == [
        (
            7,
            "adapt add layer refused",
            "a",
            "budget: 'mlp' takes 7 MB of 4 "
            "(4 times, epochs 7 to 8, 10; the numbers are those of the first)",
        ),
        (8, "adapt add layer refused", "b", "budget: 'mlp' takes 8 MB of 4"),
        (9, "adapt add layer refused", "a", "budget: 'conv' takes 9 MB of 4"),
    ]


def test_requests_that_changed_nothing_are_one_row() -> None:
    def asked(epoch: int) -> dict[str, Any]:
        reason = f"no trial for {epoch} epochs >= 6"
        head = {"kind": "decision", "epoch": epoch, "decision_kind": "adapt"}
        return {**head, "reason": reason, "slot": "a", "seed": None, "adaptation": "add_layer"}

    born = {"kind": "lifecycle", "epoch": 8, "slot": "a", "seed": 0, "to_stage": "GERMINATED"}
    rows = decision_rows(run_of(*map(asked, (6, 7, 8)), born))
    assert [(row[0], row[3]) for row in rows] == [
        (
            6,
            "no trial for 6 epochs >= 6 (2 times, epochs 6 to 7; the numbers are those of the "
            "first)",
        ),
        (8, "no trial for 8 epochs >= 6"),
    ]


def test_decisions_to_wait_are_counted_by_their_reason() -> None:
    def waits(epoch: int, reason: str) -> dict[str, Any]:
        return {"kind": "decision", "epoch": epoch, "decision_kind": "wait", "reason": reason}

    late = [waits(epoch, f"epoch {epoch} of 9 is late") for epoch in (6, 7, 9)]
    assert wait_rows(run_of(waits(1, "too young"), *late)) == [
        ("1", "1", "too young"),
        ("3", "6 to 7, 9", "epoch 6 of 9 is late"),
    ]


def run_of(*events: dict[str, Any]) -> Run:
    return Run(
        path=Path("x"), state=RunState.FINISHED, config={}, metrics=(), events=events, summary=None
    )
