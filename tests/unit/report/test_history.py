"""The lives of seeds, worked out from events alone."""

from pathlib import Path
from typing import Any

from esper.report.history import Span, lanes, ledger, seed_rows, verdicts
from esper.rundir.records import load_run


def test_a_lane_holds_every_stage_of_a_seed_with_its_ends(tmp_path: Path, make_run: Any) -> None:
    found = lanes(load_run(make_run(tmp_path / "run")))
    assert [lane.label for lane in found] == [
        "block1 seed 0",
        "block1 seed 3",
        "block2 seed 1",
        "block2 seed 2",
        "head seed 0",
    ]
    spans = [span for span in found[0].spans if span.end > span.start]
    assert spans == [
        Span(stage="TRAINING", blueprint="mlp", start=4, end=5),
        Span(stage="BLENDING", blueprint="mlp", start=5, end=6),
        Span(stage="SHADOWING", blueprint="mlp", start=6, end=9),
        Span(stage="PROBATIONARY", blueprint="mlp", start=9, end=10),
        Span(stage="FOSSILIZED", blueprint="mlp", start=10, end=40),
    ]


def test_a_seed_that_lived_twice_has_both_lives_in_one_lane(tmp_path: Path, make_run: Any) -> None:
    [lane] = [
        lane
        for lane in lanes(load_run(make_run(tmp_path / "run")))
        if (lane.slot, lane.seed) == ("block2", 1)
    ]
    embargo = [span for span in lane.spans if span.stage == "EMBARGOED"]
    assert [(span.blueprint, span.start, span.end) for span in embargo] == [("lora", 13, 18)]
    births = [span.blueprint for span in lane.spans if span.stage == "GERMINATED"]
    assert births == ["lora", "squeeze_excite"]


def test_every_seed_of_a_slot_has_a_row_the_untouched_ones_too(
    tmp_path: Path, make_run: Any
) -> None:
    rows = seed_rows(load_run(make_run(tmp_path / "run")))
    assert len(rows) == 3 * 4
    kept = rows[0]
    assert (kept.slot, kept.seed, kept.stage, kept.since) == ("block1", 0, "FOSSILIZED", 10)
    assert (kept.alpha, kept.gain, kept.activations) == (1.0, 0.062, 1)
    untouched = rows[1]
    assert (untouched.stage, untouched.blueprint, untouched.activations) == ("DORMANT", None, 0)
    culled = rows[3]
    assert (culled.stage, culled.blueprint, culled.alpha) == ("DORMANT", "affine", None)
    assert rows[5].activations == 2


def test_waiting_is_no_verdict_and_a_refusal_names_its_rule(tmp_path: Path, make_run: Any) -> None:
    found = verdicts(load_run(make_run(tmp_path / "run")))
    assert [verdict.epoch for verdict in found] == [4, 7, 8, 10, 12, 16, 17, 19, 26, 35]
    assert found[0].what == "adapt add_neurons"
    assert (found[2].what, found[2].where) == ("adapt refused", "head")
    assert found[2].reason == "cooldown: slot 'head' rests until 20"


def test_the_ledger_holds_the_last_record_of_each_arm(tmp_path: Path, make_run: Any) -> None:
    found = ledger(load_run(make_run(tmp_path / "run")))
    arms = [(record["slot"], record["seed"], record["blueprint"]) for record in found]
    assert len(arms) == len(set(arms)) == 6
    assert arms == sorted(arms)
