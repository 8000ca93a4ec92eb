import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.stage import SeedStage
from esper.policy.rules.verdict import VerdictRules, harm, judge, priced_gain, verdict
from tests.unit.policy.builders import make_look, make_observation, make_seed, make_slot

FOSSILIZE, CULL, WAIT = DecisionKind.FOSSILIZE, DecisionKind.CULL, DecisionKind.WAIT


def judged(rules: VerdictRules | None = None, **changes: Any) -> Decision:
    seed = make_seed(SeedStage.PROBATIONARY, **changes)
    decision = verdict(seed, rules or VerdictRules())
    assert decision is not None
    return decision


@pytest.mark.parametrize(
    ("gain", "error", "first", "last"),
    [
        # The bar is 0.02.
        (0.031, 0.01, FOSSILIZE, FOSSILIZE),
        (0.0201, 0.0, FOSSILIZE, FOSSILIZE),
        (0.02, 0.01, WAIT, CULL),
        (1e-9, 0.01, WAIT, CULL),
        (0.0, 0.0, CULL, CULL),
        (-0.01, 0.5, CULL, CULL),
        (None, None, WAIT, CULL),
        (math.nan, 0.01, WAIT, CULL),
        (math.inf, 0.01, WAIT, CULL),
        (-math.inf, 0.01, WAIT, CULL),
        (0.5, None, WAIT, CULL),
        (0.5, math.nan, WAIT, CULL),
    ],
)
def test_what_is_kept_at_a_look_and_at_the_last_one(
    gain: float | None, error: float | None, first: DecisionKind, last: DecisionKind
) -> None:
    kinds = [
        judged(gain=gain, gain_error=error, look=make_look(is_last=is_last)).kind
        for is_last in (False, True)
    ]
    assert kinds == [first, last]


@pytest.mark.parametrize("gain", [0.5, -0.5, None])
def test_between_the_looks_nothing_is_said(gain: float | None) -> None:
    seed = make_seed(SeedStage.PROBATIONARY, look=None, gain=gain)
    assert verdict(seed, VerdictRules()) is None


@pytest.mark.parametrize("stage", [stage for stage in SeedStage if stage != "PROBATIONARY"])
def test_only_probation_has_a_verdict(stage: SeedStage) -> None:
    assert verdict(make_seed(stage, gain=-0.5, look=make_look()), VerdictRules()) is None


def test_what_ablation_shows_vetoes_nothing() -> None:
    assert judged(ablation=-0.5).kind is FOSSILIZE


@pytest.mark.parametrize(
    ("added", "shown", "price", "expected"),
    [
        # log2(1 + 1) = 1: a doubling costs the price.
        (1.0, 1.0, 0.02, 0.03 - 0.02),
        # Half of the gain is shown, so half of the price is taken off.
        (1.0, 0.5, 0.02, 0.03 - 0.01),
        (3.0, 0.5, 0.02, 0.03 - 0.02),
        # log2(1.25) = 0.3219281.
        (0.25, 0.5, 0.04, 0.03 - 0.02 * 0.3219281),
        (0.0, 0.5, 0.02, 0.03),
        (7.0, 0.5, 0.0, 0.03),
    ],
)
def test_a_price_is_taken_off_for_each_doubling_of_the_flops(
    added: float, shown: float, price: float, expected: float
) -> None:
    look = make_look(shown=shown)
    seed = make_seed(SeedStage.PROBATIONARY, gain=0.03, added_flops=added, look=look)
    assert priced_gain(seed, price) == pytest.approx(expected, abs=1e-8)


def test_a_kernel_is_kept_cheap_and_not_at_twice_the_flops() -> None:
    look = make_look(bar=0.015, shown=0.5)
    # 0.024 - 0.5 * 0.02 * log2(1 + added): 0.024, 0.014 and -0.006.
    rules = VerdictRules(price=0.02)
    added = (0.0, 1.0, 7.0)
    kinds = [judged(rules, gain=0.024, added_flops=flops, look=look).kind for flops in added]
    assert kinds == [FOSSILIZE, WAIT, WAIT], "a gain above 0 may still grow"
    free = judged(VerdictRules(price=0.0), gain=0.024, added_flops=7.0, look=look)
    assert free.kind is FOSSILIZE


def test_reasons_carry_the_numbers() -> None:
    assert judged(gain=0.031).reason == "gain 0.031 > 0.02 at age 6"
    assert judged(gain=0.003).reason == "gain 0.003 <= 0.02 at age 6: look again later"
    last = make_look(9, is_last=True)
    assert judged(gain=0.003, look=last).reason == "gain 0.003 <= 0.02 at age 9, the last look"
    assert judged(gain=-0.003).reason == "gain -0.003 <= 0 at age 6"
    assert judged(gain=None, look=last).reason == "gain was not measured at age 9"
    look = make_look(4, bar=0.005, shown=0.5)
    priced = judged(VerdictRules(price=0.02), gain=0.03, added_flops=1.0, look=look)
    assert priced.reason == (
        "gain 0.03, 0.02 after a price of 0.02 a doubling (100 % more FLOPs), > 0.005 at age 4"
    )


def test_a_higher_bar_can_be_asked_for() -> None:
    rules = VerdictRules(min_improvement_to_fossilize=0.05)
    assert judged(rules, gain=0.031).kind is WAIT
    assert judged(rules, gain=0.051, gain_error=0.001).kind is FOSSILIZE
    assert "<= 0.05 " in judged(rules, gain=0.031).reason
    lower = VerdictRules(min_improvement_to_fossilize=0.001)
    assert judged(lower, gain=0.015).kind is WAIT, "the look's own bar stays"


@pytest.mark.parametrize(
    ("gain", "error", "kind", "confidence"),
    [
        # (gain - 0.005) / error is 1, 0.5 and -1 standard errors above the least gain.
        (0.025, 0.02, FOSSILIZE, 0.8413),
        (0.025, 0.04, WAIT, 0.6915),
        (0.015, 0.02, WAIT, 0.6915),
        (-0.005, 0.01, CULL, 0.8413),
        (0.025, 0.0, FOSSILIZE, 1.0),
    ],
)
def test_a_seed_is_kept_only_with_confidence_that_its_gain_pays(
    gain: float, error: float, kind: DecisionKind, confidence: float
) -> None:
    decision = judged(gain=gain, gain_error=error, look=make_look(least=0.005))
    assert decision.kind is kind
    assert decision.confidence == pytest.approx(confidence, abs=1e-4)


def test_less_confidence_can_be_asked_for() -> None:
    unsure: dict[str, Any] = {"gain": 0.025, "gain_error": 0.04, "look": make_look(least=0.005)}
    assert judged(VerdictRules(confidence_to_fossilize=0.6), **unsure).kind is FOSSILIZE
    decision = judged(**unsure)
    assert "confidence 0.691 < 0.8 that it is above 0.005" in decision.reason
    unsure["look"] = make_look(least=0.005, is_last=True)
    last = judged(**unsure)
    assert last.kind is CULL
    assert last.confidence == pytest.approx(1 - 0.6915, abs=1e-4)


def test_an_unmeasured_gain_says_nothing_either_way() -> None:
    assert judged(gain=None).confidence == 0.5


def test_the_risk_of_keeping_a_kernel_is_that_of_its_blueprint() -> None:
    assert judged(gain=0.5, risk=0.3).risk == 0.3
    assert judged(gain=-0.5, risk=0.3).risk == 0.0


numbers = st.none() | st.floats()


@given(
    st.sampled_from(SeedStage),
    st.none() | st.builds(make_look, st.integers(1, 9), is_last=st.booleans()),
    numbers,
    numbers,
    st.floats(0, 100),
    st.none() | st.floats(-1, 1),
)
def test_nothing_unmeasured_or_useless_is_ever_kept(
    stage: SeedStage,
    look: Any,
    gain: float | None,
    error: float | None,
    added_flops: float,
    improvement: float | None,
) -> None:
    seed = make_seed(
        stage,
        look=look,
        gain=gain,
        gain_error=error,
        added_flops=added_flops,
        improvement=improvement,
    )
    decisions = judge(make_observation(slots=(make_slot(seeds=(seed,)),)), VerdictRules())
    for decision in decisions:
        if decision.kind is FOSSILIZE:
            assert stage is SeedStage.PROBATIONARY
            assert look is not None
            assert gain is not None
            assert error is not None
            assert math.isfinite(gain)
            assert gain - 0.02 * math.log2(1 + added_flops) > 0.02
    if stage is SeedStage.PROBATIONARY and look is not None and look.is_last:
        assert {decision.kind for decision in decisions} in ({FOSSILIZE}, {CULL})


@pytest.mark.parametrize(
    ("stage", "age", "improvement", "error", "culled"),
    [
        (SeedStage.BLENDING, 5, -0.021, 0.01, True),
        (SeedStage.SHADOWING, 6, -0.5, 0.01, True),
        (SeedStage.PROBATIONARY, 9, -0.021, 0.01, True),
        # Within 2 points, or within two standard errors.
        (SeedStage.PROBATIONARY, 6, -0.02, 0.001, False),
        (SeedStage.PROBATIONARY, 6, -0.021, 0.011, False),
        (SeedStage.PROBATIONARY, 6, -0.06, 0.03, False),
        (SeedStage.PROBATIONARY, 6, -0.061, 0.03, True),
        # Too young, or not blended and live.
        (SeedStage.PROBATIONARY, 4, -0.5, 0.01, False),
        (SeedStage.TRAINING, 6, -0.5, 0.01, False),
        (SeedStage.FOSSILIZED, 6, -0.5, 0.01, False),
        # Not measured.
        (SeedStage.SHADOWING, 6, None, None, False),
        (SeedStage.SHADOWING, 6, -0.5, None, False),
        (SeedStage.SHADOWING, 6, math.nan, 0.01, False),
    ],
)
def test_a_drop_of_accuracy_beyond_two_points_and_two_errors_is_culled(
    stage: SeedStage, age: int, improvement: float | None, error: float | None, culled: bool
) -> None:
    measured = {"improvement": improvement, "improvement_error": error}
    seed = make_seed(stage, look=make_look(age), **measured)
    assert (harm(seed, VerdictRules()) is not None) == culled


def test_the_reason_of_a_cull_names_the_drop_and_its_limit() -> None:
    look = make_look(6)
    found = harm(make_seed(SeedStage.PROBATIONARY, look=look, improvement=-0.05), VerdictRules())
    assert found is not None
    assert found.reason == "accuracy -0.05 at age 6 < -0.02 (from age 5 on)"


def test_accuracy_is_judged_at_looks_alone() -> None:
    seed = make_seed(SeedStage.PROBATIONARY, look=None, improvement=-0.5)
    assert harm(seed, VerdictRules()) is None


def test_patience_and_limit_of_a_drop_can_be_chosen() -> None:
    seed = make_seed(SeedStage.PROBATIONARY, look=make_look(4), improvement=-0.05)
    patient = VerdictRules(cull_after_epochs_without_improvement=4)
    assert harm(seed, patient) is not None
    lenient = VerdictRules(cull_after_epochs_without_improvement=4, cull_if_accuracy_drops_by=0.05)
    assert harm(seed, lenient) is None


@pytest.mark.parametrize(
    ("stage", "epochs", "culled"),
    [
        (SeedStage.PROBATIONARY, 2, True),
        (SeedStage.SHADOWING, 3, True),
        (SeedStage.BLENDING, 2, True),
        (SeedStage.PROBATIONARY, 1, False),
        (SeedStage.TRAINING, 2, False),
        (SeedStage.FOSSILIZED, 2, False),
    ],
)
def test_a_gradient_that_stays_unhealthy_for_two_epochs_culls(
    stage: SeedStage, epochs: int, culled: bool
) -> None:
    found = harm(make_seed(stage, look=None, unhealthy_epochs=epochs), VerdictRules())
    assert (found is not None) == culled
    if found is not None:
        assert found.kind is CULL
        assert found.reason == f"its gradient was 0 or not finite for {epochs} epochs"


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
        ({"price": -0.01}, "policy.price must be in"),
        ({"price": math.nan}, "policy.price must be in"),
        ({"min_improvement_to_fossilize": -0.1}, "policy.min_improvement_to_fossilize"),
        ({"cull_if_accuracy_drops_by": math.nan}, "policy.cull_if_accuracy_drops_by"),
        ({"cull_after_epochs_without_improvement": 0}, "policy.cull_after_epochs_without_impr"),
    ],
)
def test_a_bad_rule_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        VerdictRules(**changes)
