"""The ledger: contexts of germinations, and rewards predicted from them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from esper.strategy.base import View
from esper.strategy.ledger import Ledger
from esper.strategy.prior import NO_PRIOR, Prior

Make = Callable[..., Any]


def _ledger(make_entry: Make, settled: list[dict[str, Any]]) -> Ledger:
    ledger = Ledger()
    for index, values in enumerate(settled):
        ledger.record(make_entry(str(index), **values))
    return ledger


def test_the_context_of_a_settled_activation_is_kept_until_the_next_but_one() -> None:
    ledger = Ledger()
    assert ledger.context("block", 0, 1) == ()
    for activation in (1, 2, 3):
        ledger.note_activation("block", 0, 3 * activation)
        ledger.note_context("block", 0, activation, (1.0, 0.25, 0.5, activation / 10))
    restored = Ledger()
    restored.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    for each in (ledger, restored):
        assert each.context("block", 0, 1) == ()
        assert each.context("block", 0, 2) == (1.0, 0.25, 0.5, 0.2)
        assert each.context("block", 0, 3) == (1.0, 0.25, 0.5, 0.3)


def test_a_reward_is_predicted_from_its_context(make_entry: Make, make_spec: Make) -> None:
    """The reward of `a` grows with the share of the run, that of `b` falls."""
    settled = [
        {"blueprint": name, "reward": sign * (2 * share - 1), "context": (1.0, 0.5, 0.5, share)}
        for share in (0.0, 0.25, 0.5, 0.75, 1.0) * 20
        for name, sign in (("a", 1), ("b", -1))
    ]
    ledger = _ledger(make_entry, settled)

    def predicted(name: str, share: float, prior: Prior = NO_PRIOR) -> float:
        view = View(features=(1.0, 0.5, 0.5, share))
        arm = ledger.arm(make_spec(), 0, name, prior, view)
        return arm.predicted

    # Rewards -1 to 1: mean 0, squares 0.5, so that 1 is 0.25 / sqrt(0.5) above a half.
    edge = 0.25 / (0.5 * 200 / 199) ** 0.5
    assert predicted("a", 1.0) == pytest.approx(0.5 + edge, abs=0.04)
    assert predicted("a", 0.0) == pytest.approx(0.5 - edge, abs=0.04)
    assert predicted("b", 1.0) == pytest.approx(0.5 - edge, abs=0.04)
    assert predicted("c", 1.0) == 0.5
    # x^T x = 2.5 is the variance before any trial, which three trials leave at 1 / (0.4 + 3).
    assert predicted("c", 1.0, Prior(1.0, 1.0, 3.0)) == pytest.approx((0.4 * 0.5 + 3) / 3.4)


def test_a_prediction_moves_by_what_its_slot_differs(make_entry: Make, make_spec: Make) -> None:
    settled = [
        {"slot": slot, "reward": reward, "context": (1.0, 0.0, 0.0, 0.0)}
        for slot, reward in (("left", 1.0), ("right", -1.0))
        for _ in range(8)
    ]
    ledger = _ledger(make_entry, settled)
    arms = [
        ledger.arm(spec, 0, "a", view=View(features=(1.0, 0.0, 0.0, 0.0)))
        for spec in (make_spec(name=name) for name in ("left", "right"))
    ]
    shift = (8 - 8 / 9) / (8 + 8 / 9) / 4 / (16 / 15) ** 0.5
    assert [arm.predicted for arm in arms] == pytest.approx([0.5 + shift, 0.5 - shift])
    # 16 trials and the ridge, and the slot's own 8 with the weight of the pool.
    assert arms[0].uncertainty == pytest.approx(1 / 17 + 1 / 9)


def test_a_strategy_without_a_context_predicts_the_mean(make_entry: Make, make_spec: Make) -> None:
    ledger = _ledger(make_entry, [{"reward": 0.0}, {"reward": 1.0, "blueprint": "b"}])
    arm = ledger.arm(make_spec(), 0, "b")
    assert (arm.predicted, arm.uncertainty) == (arm.mean_reward, 0.5)


def test_contexts_without_health_say_nothing_of_what_health_says(
    make_entry: Make, make_spec: Make
) -> None:
    """Trials of the same reward and run, half of them with neutral numbers, foresee alike."""
    short, neutral = (1.0, 0.5, 0.5, 0.5), (1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    arms = []
    for contexts in ((short, short), (short, neutral), (neutral, neutral)):
        settled = [
            {"blueprint": name, "reward": reward, "context": contexts[number % 2]}
            for number in range(20)
            for name, reward in (("a", 0.3), ("b", -0.3))
        ]
        ledger = _ledger(make_entry, settled)
        arms.append([ledger.arm(make_spec(), 0, "a", view=View(features=c)) for c in contexts])
    every = [(each.predicted, each.uncertainty) for pair in arms for each in pair]
    assert all(each == pytest.approx(every[0]) for each in every)


def test_a_strategy_that_reads_no_health_leaves_out_what_others_knew_of_it(
    make_entry: Make, make_spec: Make
) -> None:
    """All trials of `a` had a slot that speaks for it, so that this explains their reward."""
    told = (1.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.5)
    entries = [
        make_entry(f"{name}{number}", blueprint=name, reward=reward, context=told, run="other")
        for number in range(20)
        for name, reward in (("a", 0.3), ("b", -0.3))
    ]
    predicted = {}
    for reads_health in (True, False):
        ledger = Ledger(reads_health=reads_health)
        assert ledger.warm_start(entries, "mine") == 40
        arm = ledger.arm(make_spec(), 0, "a", view=View(features=told[:4]))
        predicted[reads_health] = arm.predicted
    assert predicted[False] == pytest.approx(0.75, abs=0.02)
    assert predicted[True] < predicted[False] - 0.02
