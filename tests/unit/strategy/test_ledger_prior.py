"""A ledger that starts from priors: worth a few trials, and overruled by real ones."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from esper.contracts.ledger import PoolPrior
from esper.strategy.ledger import Ledger

Make = Callable[..., Any]


def prior(blueprint: str, mean_reward: float, **values: Any) -> PoolPrior:
    given = {
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
    # Rewards 3 3 3 1 1 1: mean 2, deviation sqrt(6 / 5).
    arm = ledger.arm(make_spec(), 0, "a", window_size=2)
    assert (arm.trials, arm.selections) == (3, 0)
    assert arm.mean_reward == pytest.approx(0.5 + 1 / (4 * 1.2**0.5))
    assert arm.recent_rewards == (arm.mean_reward, arm.mean_reward)
    assert ledger.predicted_gain(make_spec(), "a") == pytest.approx(0.1)
    assert ledger.predicted_gain(make_spec(), "b") is None
    assert ledger.arm(make_spec(), 0, "b").trials == 0


def test_real_trials_overrule_a_prior(make_spec: Make, make_entry: Make) -> None:
    ledger = Ledger()
    ledger.start_from([prior("a", 1.0), prior("b", 0.0)])
    for event in range(30):
        ledger.record(make_entry(str(event), reward=float(event % 2), blueprint="ab"[event % 2]))
    better, worse = ledger.arm(make_spec(), 1, "b"), ledger.arm(make_spec(), 0, "a")
    assert (better.trials, worse.trials) == (18, 18)
    assert better.mean_reward > worse.mean_reward


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
        assert again.arm(make_spec(), 0, name, window_size=3) == ledger.arm(
            make_spec(), 0, name, window_size=3
        )
    assert again.entries_of_run() == []
