"""Rewards of earlier runs fade where arms change from run to run, and nowhere else."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from esper.contracts.ledger import LedgerEntry
from esper.strategy.ageing import DECAYS, _Past, _squared_errors, aged, best_decay
from esper.strategy.ledger import Ledger

Make = Callable[..., Any]


@pytest.fixture
def history(make_entry: Make) -> Callable[..., list[LedgerEntry]]:
    """Return a maker of entries from one list of rewards per run, arms `a` and `b` in turn."""

    def make(*runs: list[float | None]) -> list[LedgerEntry]:
        return [
            make_entry(
                run=f"run {number}",
                event=f"{number} {index}",
                blueprint="ab"[index % 2],
                reward=reward,
            )
            for number, run in enumerate(runs)
            for index, reward in enumerate(run)
        ]

    return make


def test_a_prediction_by_hand(history: Make) -> None:
    # One run: a brought 1, b -1, mean 0.  So a has 1 trial of 1 and 1 of 0.
    past = _Past(decay=0.5)
    run = history([1.0, -1.0])
    past.end_run(run)
    # The trial is a run old and counts half: 0.5 * 1 / (0.5 + 1).
    assert past.predict(run[0]) == pytest.approx(1 / 3)
    elsewhere = LedgerEntry(**{**_fields(run[0]), "slot": "other"})
    # Half a trial of other slots is worth 0.5 / 1.5 trials.
    shared = 0.5 / 1.5
    assert past.predict(elsewhere) == pytest.approx(shared / (shared + 1))


def _fields(entry: LedgerEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}


def test_errors_are_those_of_every_run_after_the_first(history: Make) -> None:
    runs = [history([1.0, -1.0]), history([1.0, -1.0])]
    # Without decay 1 * 1 / (1 + 1) = 0.5 is expected of a, and -0.5 of b.
    assert _squared_errors(runs, 1.0) == pytest.approx(0.25 + 0.25)


def test_arms_that_stay_as_they_are_do_not_fade(history: Make) -> None:
    entries = history(*[[1.0, -1.0, None]] * 6)
    assert best_decay([entry for entry in entries if entry.reward is not None]) == 1.0
    assert aged(entries) == entries


def test_without_a_second_run_nothing_fades(history: Make) -> None:
    assert aged(history([1.0, -1.0])) == history([1.0, -1.0])
    assert aged([]) == []


def changed_places(history: Make) -> list[LedgerEntry]:
    """Return entries of 12 runs; after the sixth two arms change places, one reward is unknown."""
    entries: list[LedgerEntry] = history(*[[1.0, -1.0]] * 6, *[[-1.0, 1.0]] * 5, [-1.0, 1.0, None])
    return entries


def test_of_a_reward_that_is_old_less_is_left(history: Make) -> None:
    entries = changed_places(history)
    now = aged(entries)
    # Their mean is 0.
    signs = [1.0, -1.0] * 6 + [-1.0, 1.0] * 6
    ages = [age for age in range(12, 0, -1) for _ in "ab"]
    expected = [sign * DECAYS[-1] ** age for sign, age in zip(signs, ages, strict=True)]
    rewards = [entry.reward for entry in now if entry.reward is not None]
    assert rewards == pytest.approx(expected)
    assert [entry.weight for entry in now] == [entry.weight for entry in entries]
    assert [entry.event for entry in now] == [entry.event for entry in entries]


def test_a_drifting_world_is_told_from_a_still_one(history: Make) -> None:
    rng, found = Random(0), {"drift": 0, "still": 0}
    for _ in range(20):
        for world, memory in (("drift", 0.5), ("still", 1.0)):
            worths = [rng.gauss(0.0, 1.0) for _ in "ab"]
            runs = []
            for _ in range(20):
                fresh = (1 - memory**2) ** 0.5
                worths = [memory * worth + fresh * rng.gauss(0.0, 1.0) for worth in worths]
                runs.append([rng.gauss(worths[index % 2], 1.0) for index in range(8)])
            found[world] += best_decay(history(*runs)) < 1
    assert found["drift"] >= 10
    assert found["still"] <= 1


def test_a_ledger_starts_from_faded_rewards(history: Make, make_spec: Make) -> None:
    entries = changed_places(history)
    ledger, expected = Ledger(), Ledger()
    assert ledger.warm_start(entries, "now") == len(entries)
    for entry in aged(entries):
        expected.record(entry)
    assert ledger.arm(make_spec(), 0, "a") == expected.arm(make_spec(), 0, "a")
    # As many rewards of a were 1 as -1, and the latter are the latest.
    assert ledger.arm(make_spec(), 0, "a").mean_reward < 0.5
