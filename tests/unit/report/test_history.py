"""The history of seeds, from events alone."""

from pathlib import Path
from typing import Any

from esper.report.history import Span, decision_rows, lanes, seed_rows
from esper.rundir.records import load_run


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
        1,
    )
    assert rows[1] == ("block1", 1, "DORMANT", "-", "-", "-", "-", "-", "-", 0)
    assert rows[3][2] == "DORMANT"
    assert rows[3][4:6] == ("affine", "-")
    assert rows[5][-1] == 2, "it was tried twice"


def test_waiting_is_no_verdict_and_a_refusal_names_its_rule(tmp_path: Path, make_run: Any) -> None:
    rows = decision_rows(load_run(make_run(tmp_path / "run")))
    assert [epoch for epoch, *_ in rows] == [4, 7, 8, 10, 12, 16, 17, 19, 26, 35]
    assert rows[0][1] == "adapt add neurons"
    assert rows[2][1:] == ("adapt refused", "head", "cooldown: slot 'head' rests until 20")
