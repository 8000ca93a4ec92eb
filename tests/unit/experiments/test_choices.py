"""What differs between the choices of runs is counted."""

from typing import Any

import pytest

from experiments.choices import CHANGES, PLANS, table
from experiments.replay import STRATEGIES


def row(change: str, rng_seed: int, *choices: tuple[int, str, str]) -> dict[str, Any]:
    others = {strategy.name: ["a"] for strategy in STRATEGIES}
    made = [
        {"epoch": 9, "settled": settled, "chosen": [one], "blind": [blind], **others}
        for settled, one, blind in choices
    ]
    plans = {**dict.fromkeys(PLANS, 1), "specialize": rng_seed}
    about = {"change": change, "rng_seed": rng_seed, "trials": 8 + rng_seed, "plans": plans}
    return {**about, "choices": made}


def test_the_table_counts_choices_after_the_third_settled_trial() -> None:
    found = table(
        [
            row("default", 0, (2, "a", "b"), (3, "a", "b"), (4, "a", "a")),
            row("default", 1, (5, "a", "a")),
            row("default", 2, (0, "a", "b")),
            row("c=8", 0, (2, "a", "b"), (3, "b", "b"), (4, "a", "a")),
            row("c=8", 1, (5, "a", "a")),
            row("prior=none", 0, (4, "a", "b"), (5, "a", "b")),
        ]
    )
    assert found["median_trials"] == 9
    assert found["late_choices"] == [2, 1, 0]
    assert found["plans"]["specialize"] == [0, 1, 2]
    assert found["plans"]["replace"] == [1, 1, 1]
    blind = found["differ"]["chosen / blind"]
    assert (blind["are"], blind["of"]) == (1, 3)
    assert blind["share"][0] == pytest.approx(1 / 3)
    assert blind["by_run"][0] == pytest.approx(1 / 4)
    assert found["differ"]["ucb / thompson"]["are"] == 0
    assert found["runs_changed"]["c=8"] == [1, 2]
    assert found["runs_changed"]["c=0.5"] == [0, 0]
    without_prior = found["differ_without_prior"]
    assert (without_prior["are"], without_prior["of"]) == (2, 2)


def test_runs_are_compared_under_every_reward_two_constants_and_no_prior() -> None:
    changes = ["default", "reward=gain", "reward=sparse", "c=0.5", "c=8", "prior=none"]
    assert list(CHANGES) == changes
