"""Rewards that are revised, and rewards that count as less than a trial."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.ledger import LedgerEntry
from esper.strategy.base import View
from esper.strategy.ledger import Ledger

Make = Callable[..., Any]
CONTEXTS = [(1.0, 0.5, 0.5, share / 4) for share in range(5)]
TRIALS = st.lists(
    st.builds(
        dict,
        slot=st.sampled_from(["left", "right"]),
        blueprint=st.sampled_from("ab"),
        reward=st.floats(-1, 1).map(lambda reward: round(reward, 3)),
        weight=st.sampled_from([0.5, 0.75, 1.0]),
        context=st.sampled_from([(), *CONTEXTS]),
    ),
    min_size=1,
    max_size=12,
)


def ledger_of(entries: list[LedgerEntry]) -> Ledger:
    ledger = Ledger()
    for entry in entries:
        ledger.record(entry)
    return ledger


def numbers(value: Any) -> Any:
    """Return every number of a state, in order, and everything else as text."""
    if isinstance(value, dict | list | tuple):
        items = value.values() if isinstance(value, dict) else value
        return [number for each in items for number in numbers(each)]
    return [value if isinstance(value, int | float) else str(value)]


@given(trials=TRIALS, index=st.integers(0, 11), reward=st.floats(-1, 1), weight=st.floats(0.5, 1))
def test_a_revised_ledger_is_the_one_that_got_the_revised_reward_at_once(
    make_entry: Make, trials: list[dict[str, Any]], index: int, reward: float, weight: float
) -> None:
    entries = [make_entry(str(number), **values) for number, values in enumerate(trials)]
    index %= len(entries)
    former = entries[index]
    ledger = ledger_of(entries)
    entry = ledger.revise(former.run, former.event, reward, weight)
    assert entry == replace(former, reward=reward, weight=weight)
    at_once = ledger_of([*entries[:index], entry, *entries[index + 1 :]])
    assert ledger.entries_of_run() == at_once.entries_of_run()
    mine, theirs = ledger.state_dict(), at_once.state_dict()
    # The noise counts no weight for the first reward of an arm.
    for state in (mine, theirs):
        del state["scale"]["repeats"]
    assert numbers(mine) == pytest.approx(numbers(theirs), abs=1e-9)


def test_an_arm_means_its_rewards_by_weight(make_entry: Make, make_spec: Make) -> None:
    entries = [
        make_entry("0", reward=1.0),
        make_entry("1", reward=4.0, weight=0.5),
        make_entry("2", reward=4.0, blueprint="b"),
    ]
    ledger = ledger_of(entries)
    arm = ledger.arm(make_spec(), 0, "a", view=View(window_size=9))
    # All rewards have the mean 3 and the deviation sqrt(3); those of the arm the mean 3 / 1.5.
    assert (arm.own_trials, arm.trials) == (1.5, 1.5)
    assert arm.mean_reward == pytest.approx(0.5 + (3 / 1.5 - 3) / 4 / math.sqrt(3))
    assert len(arm.recent_rewards) == 2


def test_a_revised_reward_stays_one_trial(make_entry: Make, make_spec: Make) -> None:
    ledger = ledger_of([make_entry("0", reward=0.0), make_entry("1", reward=1.0, blueprint="b")])
    before = ledger.arm(make_spec(), 0, "a")
    ledger.revise("run", "0", 2.0, 1.0)
    after = ledger.arm(make_spec(), 0, "a", view=View(window_size=9, latest_size=9))
    assert before.mean_reward < 0.5 < after.mean_reward
    assert (after.own_trials, after.num_latest) == (1, 1)
    assert after.recent_rewards == (after.mean_reward,)
    summary = ledger.summary(make_spec(), "a")
    assert (summary.trials, summary.mean) == (1, 2.0)


def test_equal_rewards_after_a_revision_are_all_alike(make_entry: Make, make_spec: Make) -> None:
    ledger = ledger_of([make_entry("0", reward=0.3), make_entry("1", reward=0.1, blueprint="b")])
    ledger.revise("run", "0", 0.1, 1.0)
    assert [ledger.arm(make_spec(), 0, name).mean_reward for name in "ab"] == [0.5, 0.5]


def test_what_was_not_recorded_or_has_no_reward_is_not_revised(make_entry: Make) -> None:
    ledger = ledger_of([make_entry("0", reward=None)])
    before = json.dumps(ledger.state_dict())
    for event in ("0", "1"):
        with pytest.raises(ValueError, match=f"event '{event}' of run 'run' has no reward"):
            ledger.revise("run", event, 0.5, 1.0)
    assert json.dumps(ledger.state_dict()) == before
