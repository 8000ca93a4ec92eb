"""A ledger that starts from priors: worth a few trials, and overruled by real ones."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from esper.contracts.ledger import UNKNOWN, PoolPrior
from esper.strategy.base import View
from esper.strategy.ledger import Ledger
from esper.strategy.pooling import Tally
from esper.strategy.prior import Prior

Make = Callable[..., Any]


def prior(blueprint: str, mean_reward: float, **values: Any) -> PoolPrior:
    given = {
        "task_family": UNKNOWN,
        "reward_model": UNKNOWN,
        "slot_kind": "dense",
        "placement": "parallel",
        "trials": 3,
        "spread": 0.0,
        "mean_gain": None,
    }
    return PoolPrior(blueprint=blueprint, mean_reward=mean_reward, **{**given, **values})


def test_a_prior_counts_as_its_trials_with_its_means(make_spec: Make) -> None:
    ledger = Ledger()
    ledger.start_from([prior("a", 3.0, mean_gain=0.1), prior("b", 1.0, placement="series")])
    # A reward of 3 and one of 1: mean 2, deviation sqrt(2).  Three trials elsewhere are worth 3/4.
    arm = ledger.arm(make_spec(), 0, "a")
    assert (arm.own_trials, arm.selections) == (0, 0)
    assert arm.trials == arm.prior_trials == 0.75
    assert arm.mean_reward == pytest.approx(0.5 + 1 / (4 * 2**0.5))
    assert ledger.gains(make_spec(), "a") == (Tally(), Tally(0.75, pytest.approx(0.075)))
    assert ledger.gains(make_spec(), "b") == (Tally(), Tally())
    assert ledger.arm(make_spec(), 0, "b").trials == 0


def test_each_half_of_a_host_has_its_prior(make_spec: Make) -> None:
    ledger = Ledger()
    ledger.start_from([prior("a", 1.0, is_late=True), prior("b", 0.0)])
    arms = {late: ledger.arm(make_spec(is_late=late), 0, "a").trials for late in (False, True)}
    assert arms == {False: 0, True: 0.75}


def test_a_first_order_score_counts_beside_a_prior(make_spec: Make) -> None:
    ledger = Ledger()
    ledger.start_from([prior("a", 1.0), prior("b", 0.0)])
    # A reward of 1 and one of 0: mean 0.5, deviation sqrt(0.5).
    arm = ledger.arm(make_spec(), 0, "a", Prior(7.0, 0.25, 1.0))
    edge = 0.5 / (4 * 0.5**0.5)
    assert (arm.trials, arm.first_order) == (1.75, 7.0)
    assert arm.mean_reward == pytest.approx((0.25 + 0.75 * (0.5 + edge)) / 1.75)


def test_priors_of_another_task_family_or_reward_model_do_not_count(make_spec: Make) -> None:
    ledger = Ledger("image", "gain")
    others = {"a": ("tokens", "gain"), "b": ("image", "sparse"), "c": ("image", "gain")}
    ledger.start_from(
        [
            prior(name, mean, task_family=family, reward_model=model)
            for mean, (name, (family, model)) in enumerate(others.items())
        ]
    )
    assert [ledger.arm(make_spec(), 0, name).trials > 0 for name in others] == [False, False, True]


def test_real_trials_overrule_a_prior(make_spec: Make, make_entry: Make) -> None:
    ledger = Ledger()
    ledger.start_from([prior("a", 1.0), prior("b", 0.0)])
    for event in range(30):
        ledger.record(make_entry(str(event), reward=float(event % 2), blueprint="ab"[event % 2]))
    better, worse = ledger.arm(make_spec(), 1, "b"), ledger.arm(make_spec(), 0, "a")
    assert better.trials == worse.trials == pytest.approx(15 + 0.75)
    assert better.mean_reward > worse.mean_reward


def test_a_prior_counts_in_every_context(make_spec: Make) -> None:
    ledger = Ledger()
    ledger.start_from([prior("a", 1.0), prior("b", 0.0)])
    for features in ((1.0, 0.1, 0.9, 0.0), (1.0, 0.9, 0.1, 1.0)):
        better, worse, unknown = (
            ledger.arm(make_spec(), 0, name, view=View(features=features)) for name in "abc"
        )
        assert better.predicted > unknown.predicted == 0.5 > worse.predicted
        assert better.uncertainty < unknown.uncertainty


def test_the_spread_of_a_prior_widens_the_scale(make_spec: Make) -> None:
    narrow, wide = Ledger(), Ledger()
    narrow.start_from([prior("a", 1.0), prior("b", 0.0)])
    wide.start_from([prior("a", 1.0, spread=2.0), prior("b", 0.0, spread=2.0)])
    scores = [ledger.arm(make_spec(), 0, "a").mean_reward for ledger in (narrow, wide)]
    assert 0.5 < scores[1] < scores[0]


def test_a_prior_is_part_of_the_state(make_spec: Make) -> None:
    ledger, again = Ledger(), Ledger()
    ledger.start_from([prior("a", 1.0, spread=0.5), prior("b", 0.0)])
    again.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    for name in "abc":
        view = View(features=(1.0, 0.5, 0.5, 0.5))
        assert again.arm(make_spec(), 0, name, view=view) == ledger.arm(
            make_spec(), 0, name, view=view
        )
    assert again.entries_of_run() == []
