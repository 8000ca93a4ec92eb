import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.stage import SeedStage
from esper.policy.rules.verdict import VerdictRules, harm, judge, verdict
from tests.unit.policy.builders import make_observation, make_seed, make_slot

FOSSILIZE, CULL, WAIT = DecisionKind.FOSSILIZE, DecisionKind.CULL, DecisionKind.WAIT


def judged(**changes: Any) -> Decision | None:
    return verdict(make_seed(SeedStage.PROBATIONARY, **changes), VerdictRules())


@pytest.mark.parametrize(
    ("gain", "error", "ablation", "first", "last"),
    [
        (0.031, 0.012, 0.02, FOSSILIZE, FOSSILIZE),
        (0.0051, 0.0, 0.0, FOSSILIZE, FOSSILIZE),
        (0.031, 0.012, None, FOSSILIZE, FOSSILIZE),
        (0.005, 0.0, 0.02, WAIT, CULL),
        (0.031, 0.031, 0.02, WAIT, CULL),
        (0.031, 0.04, 0.02, WAIT, CULL),
        (0.0, 0.0, 0.0, CULL, CULL),
        (-0.01, 0.5, 0.5, CULL, CULL),
        (0.5, 0.01, -1e-9, CULL, CULL),
        (None, None, -0.1, CULL, CULL),
        (None, None, 0.5, WAIT, CULL),
        (math.nan, 0.01, 0.5, WAIT, CULL),
        (math.inf, 0.01, 0.5, WAIT, CULL),
        (0.5, None, 0.5, WAIT, CULL),
        (0.5, math.nan, 0.5, WAIT, CULL),
        (0.5, 0.01, math.nan, WAIT, CULL),
        (0.5, 0.01, -math.inf, CULL, CULL),
    ],
)
def test_what_is_kept_at_the_first_and_at_the_last_look(
    gain: float | None,
    error: float | None,
    ablation: float | None,
    first: DecisionKind,
    last: DecisionKind,
) -> None:
    measured = {"gain": gain, "gain_error": error, "ablation": ablation}
    at_first = judged(epochs_in_stage=1, **measured)
    at_last = judged(epochs_in_stage=4, **measured)
    assert at_first is not None
    assert at_last is not None
    assert (at_first.kind, at_last.kind) == (first, last)


@pytest.mark.parametrize("age", [0, 2, 3])
def test_between_the_looks_nothing_is_said(age: int) -> None:
    assert judged(epochs_in_stage=age, gain=0.5) is None
    assert judged(epochs_in_stage=age, gain=-0.5) is None


def test_a_seed_that_was_overlooked_is_judged_late() -> None:
    late = judged(epochs_in_stage=7, gain=0.001)
    assert late is not None
    assert late.kind is CULL


@pytest.mark.parametrize("stage", [stage for stage in SeedStage if stage != "PROBATIONARY"])
def test_only_probation_has_a_verdict(stage: SeedStage) -> None:
    assert verdict(make_seed(stage, gain=-0.5, epochs_in_stage=1), VerdictRules()) is None


def test_reasons_carry_the_numbers() -> None:
    kept = judged(gain=0.031, gain_error=0.012)
    doubted = judged(gain=0.003, gain_error=0.012)
    vetoed = judged(ablation=-0.02)
    assert kept is not None
    assert kept.reason == "gain 0.031 > max(0.005, 0.012)"
    assert doubted is not None
    assert doubted.reason == ("gain 0.003 <= max(0.005, 0.012): look once more, 3 epochs longer")
    assert vetoed is not None
    assert vetoed.reason == "ablation -0.02 < 0 is a veto"


def test_a_higher_bar_can_be_asked_for() -> None:
    seed = make_seed(SeedStage.PROBATIONARY, gain=0.031, gain_error=0.012)
    decision = verdict(seed, VerdictRules(min_improvement_to_fossilize=0.05))
    assert decision is not None
    assert decision.kind is WAIT
    assert "max(0.005, 0.012, 0.05)" in decision.reason


numbers = st.none() | st.floats()


@given(
    st.sampled_from(SeedStage),
    st.integers(0, 9),
    numbers,
    numbers,
    numbers,
    st.none() | st.floats(-1, 1),
)
def test_nothing_unmeasured_useless_or_vetoed_is_ever_kept(
    stage: SeedStage,
    age: int,
    gain: float | None,
    error: float | None,
    ablation: float | None,
    improvement: float | None,
) -> None:
    seed = make_seed(
        stage,
        epochs_in_stage=age,
        gain=gain,
        gain_error=error,
        ablation=ablation,
        improvement=improvement,
    )
    for decision in judge(make_observation(slots=(make_slot(seeds=(seed,)),)), VerdictRules()):
        if decision.kind is FOSSILIZE:
            assert stage is SeedStage.PROBATIONARY
            assert gain is not None
            assert error is not None
            assert math.isfinite(gain)
            assert gain > max(0.005, error)
            assert ablation is None or ablation >= 0
    if stage is SeedStage.PROBATIONARY and age >= 4:
        kinds = {
            d.kind
            for d in judge(make_observation(slots=(make_slot(seeds=(seed,)),)), VerdictRules())
        }
        assert kinds in ({FOSSILIZE}, {CULL})


@pytest.mark.parametrize(
    ("stage", "age", "improvement", "culled"),
    [
        (SeedStage.BLENDING, 5, -0.021, True),
        (SeedStage.SHADOWING, 6, -0.5, True),
        (SeedStage.PROBATIONARY, 9, -0.021, True),
        (SeedStage.BLENDING, 5, -0.02, False),
        (SeedStage.BLENDING, 4, -0.5, False),
        (SeedStage.TRAINING, 6, -0.5, False),
        (SeedStage.FOSSILIZED, 6, -0.5, False),
        (SeedStage.SHADOWING, 6, None, False),
        (SeedStage.SHADOWING, 6, math.nan, False),
    ],
)
def test_a_blended_seed_that_costs_more_than_two_points_is_culled(
    stage: SeedStage, age: int, improvement: float | None, culled: bool
) -> None:
    seed = make_seed(stage, epochs_since_germination=age, improvement=improvement)
    assert (harm(seed, VerdictRules()) is not None) == culled


def test_harm_goes_before_the_verdict_and_each_seed_is_judged_once() -> None:
    harmful = make_seed(SeedStage.PROBATIONARY, gain=0.5, improvement=-0.1)
    useful = make_seed(SeedStage.PROBATIONARY, gain=0.5)
    slots = (make_slot("a", seeds=(harmful, useful)), make_slot("b", seeds=(useful,)))
    decisions = judge(make_observation(slots=slots), VerdictRules())
    assert [(d.slot, d.seed, d.kind) for d in decisions] == [
        ("a", 0, CULL),
        ("a", 1, FOSSILIZE),
        ("b", 0, FOSSILIZE),
    ]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"min_improvement_to_fossilize": -0.1}, "policy.min_improvement_to_fossilize"),
        ({"cull_if_accuracy_drops_by": math.nan}, "policy.cull_if_accuracy_drops_by"),
        ({"cull_after_epochs_without_improvement": 0}, "policy.cull_after_epochs_without_impr"),
    ],
)
def test_a_bad_rule_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        VerdictRules(**changes)
