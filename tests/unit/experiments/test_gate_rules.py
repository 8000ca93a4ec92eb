"""Rules of the gate table on rows written by hand."""

from typing import Any

import pytest

from experiments.gate_rules import Rule, auc, judge, scored, shown_against_true, slope, table

RULE = Rule("muting", "muting", (4, 6, 9), 0.005, 2.0, is_sequential=False)


def row(looks: dict[int, float], error: float = 0.01, **values: Any) -> dict[str, Any]:
    ages = {str(age): age / 100 for age in range(10)}
    return {
        "method": "muting",
        "is_useless": False,
        "ensemble": 1,
        "true_gain": 0.1,
        "looks": {str(age): (gain, error) for age, gain in looks.items()},
        "added_flops": 100.0,
        "costs": {"host_flops": 100.0, "flops_share": ages, "processor_share": ages},
        **values,
    }


@pytest.mark.parametrize(
    ("gains", "error", "kept", "age"),
    [
        ((0.021, -1.0, -1.0), 0.01, True, 4),  # over two errors
        ((0.019, 0.021, -1.0), 0.01, True, 6),
        ((0.0, 0.5, 0.5), 0.01, False, 4),  # culled at a gain of 0
        ((0.01, -0.001, 0.5), 0.01, False, 6),
        ((0.01, 0.01, 0.021), 0.01, True, 9),
        ((0.01, 0.01, 0.02), 0.01, False, 9),  # not above two errors at the last look
        ((0.004, 0.004, 0.004), 0.0, False, 9),  # under the least gain
        ((0.006, 0.0, 0.0), 0.001, True, 4),
    ],
)
def test_a_verdict(gains: tuple[float, ...], error: float, kept: bool, age: int) -> None:
    verdict = judge(RULE, row(dict(zip((4, 6, 9), gains, strict=True)), error))
    assert (verdict.kept, verdict.age) == (kept, age)


def test_a_kernel_that_was_not_measured_at_a_look_is_culled_there() -> None:
    gone = judge(RULE, row({4: 0.019}))
    assert (gone.kept, gone.age) == (False, 6)


def test_a_sequential_rule_asks_for_fewer_errors_at_later_looks() -> None:
    rule = Rule("s", "muting", RULE.looks, 0.005, 2.0)
    # Bars of 2 sqrt(3), 2 sqrt(3 / 2) and 2 errors: 0.0346, 0.0245 and 0.02.
    for gains, age in (((0.035,) * 3, 4), ((0.034, 0.025, 0.0), 6), ((0.034, 0.024, 0.021), 9)):
        verdict = judge(rule, row(dict(zip((4, 6, 9), gains, strict=True))))
        assert (verdict.kept, verdict.age) == (True, age)
    assert not judge(rule, row({4: 0.034, 6: 0.024, 9: 0.019})).kept


def test_a_rule_reads_the_pooled_look_or_the_look_alone() -> None:
    both = row({})
    both["looks"] = {"4": (0.01, 0.01, 0.5, 0.1), "6": (0.1, 0.01, 0.0, 0.1), "9": (0, 0, 0, 0)}
    alone = Rule("a", "muting", RULE.looks, 0.005, 2.0, is_pooled=False, is_sequential=False)
    assert judge(RULE, both).age == 6
    assert judge(alone, both).age == 4


def test_a_price_counts_the_doubling_of_flops_on_the_scale_of_what_is_shown() -> None:
    # The kernel doubles the FLOPs: log2(1 + 1) = 1 doubling.
    shown = row({4: 0.045, 6: 0.045, 9: 0.045})
    priced = Rule(
        "p", "muting", RULE.looks, 0.005, 2.0, is_sequential=False, price=0.05, shrink=0.48
    )
    assert judge(priced, shown).kept, "0.045 - 0.48 * 0.05 = 0.021 > 0.02"
    assert not judge(
        Rule("p", "muting", RULE.looks, 0.005, 2.0, is_sequential=False, price=0.05), shown
    ).kept
    free = row({4: 0.045, 6: 0.045, 9: 0.045}, added_flops=0.0)
    assert judge(
        Rule("p", "muting", RULE.looks, 0.005, 2.0, is_sequential=False, price=0.05), free
    ).kept


def test_the_scores_of_a_rule() -> None:
    keep, cull = {4: 0.1, 6: 0.1, 9: 0.1}, {4: -0.1, 6: -0.1, 9: -0.1}
    late = {4: 0.01, 6: 0.01, 9: 0.01}
    rows = [
        row(keep, true_gain=0.30),
        row(cull, true_gain=0.10),
        row(late, true_gain=0.02),  # neither good nor useless
        row(keep, is_useless=True, true_gain=0.05),  # useless in spite of its measured gain
        row(cull, is_useless=True, true_gain=0.0),
        row(keep, method="twin", true_gain=9.0),
    ]
    found = scored(RULE, rows)
    assert (found["num_useless"], found["num_good"]) == (2, 2)
    assert found["useless_kept"][0] == found["good_kept"][0] == 0.5
    assert found["true_gain_kept"] == pytest.approx(0.75)
    # Four verdicts at age 4 and one at age 9.
    assert found["mean_flops_share"] == pytest.approx((4 * 0.04 + 0.09) / 5)
    assert found["median_flops_share"] == pytest.approx(0.04)
    shared = scored(RULE, [row(keep, ensemble=4)])
    assert shared["mean_flops_share"] == pytest.approx(0.01)
    nothing = scored(RULE, rows[-1:])
    assert nothing["useless_kept"] is nothing["true_gain_kept"] is nothing["mean_flops_share"]
    assert nothing["useless_kept"] is None


def test_the_auc_is_the_chance_of_the_right_order() -> None:
    assert auc([3.0, 1.0, 2.0], [True, False, True]) == 1.0
    assert auc([1.0, 2.0, 2.0, 0.0], [True, False, True, False]) == 2.5 / 4
    assert auc([1.0, 2.0], [True, True]) is None


def test_the_slope_goes_through_zero() -> None:
    assert slope([1.0, 2.0], [0.5, 1.0]) == 0.5
    assert slope([1.0, -1.0], [1.0, 0.0]) == 0.5
    assert slope([0.0], [1.0]) is None


def test_useless_kernels_count_for_the_order_and_not_for_the_shrink_factor() -> None:
    rows = [
        row({9: 0.05}, true_gain=0.10),
        row({9: 0.10}, true_gain=0.20),
        row({9: 0.07}, true_gain=0.01, is_useless=True),
        row({4: 0.5}, true_gain=0.5),  # not measured at the look
    ]
    found = shown_against_true(rows, 9, is_pooled=True)
    assert found["shrink"] == pytest.approx(0.5)
    assert found["auc"] == 0.5


def test_the_table_prices_with_the_measured_shrink_factor() -> None:
    rows = [row({4: 0.05, 6: 0.05, 9: 0.05}, true_gain=0.1)]
    unknown = Rule("twin", "twin", ((4,),), 0.0, 0.0)
    free, priced = table(rows, (RULE, unknown), (0.0, 0.08), rows)
    assert (free["price"], free["good_kept"][0]) == (0.0, 1.0)
    # 0.05 - 0.5 * 0.08 = 0.01 is under two errors.
    assert (priced["shrink"], priced["good_kept"][0]) == (0.5, 0.0)
    ensemble = [{**rows[0], "ensemble": 2, "true_gain": 0.05}]
    (kept,) = table(ensemble, (RULE,), (0.0,), single=rows)
    assert kept["shrink"] == 0.5, "of single trials, not 0.05 / 0.05"
    backwards = [{**rows[0], "true_gain": -0.1}]
    assert table(rows, (RULE,), (0.0,), single=backwards)[0]["shrink"] == 0.0
    assert table(rows, (RULE,), (0.0,), single=[])[0]["shrink"] == 1.0
