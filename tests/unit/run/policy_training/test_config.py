"""The options of a training of a policy."""

from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.errors import ConfigError
from esper.learning.gain_fit import GainFit
from esper.policy.heuristic import Heuristic
from esper.policy.planner import Planner
from esper.run.policy_training.config import (
    PolicyTraining,
    check_same,
    command_of,
    deciding_values,
    record_of,
)
from esper.store.sqlite import SQLite


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rng_seed": -1}, r"rng_seed must be in \[0, 2\*\*32\), got -1"),
        ({"tasks": 3}, "tasks must be >= 4, got 3"),
        ({"first_task": -1}, "first_task must be >= 0, got -1"),
        ({"processes": 0}, "processes must be >= 1, got 0"),
        ({"name": "a/b"}, "name must be a plain folder name, got 'a/b'"),
        ({"policy": Heuristic()}, r"policy must be one that can be trained \(planner\), got"),
        ({"policy": Planner(path="x")}, r"policy\.path=x has no effect"),
        ({"store": Heuristic()}, "store must be one of memory, sqlite, redis, snapshot"),
    ],
)
def test_what_is_wrong_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PolicyTraining(**values)


def test_the_policy_does_not_depend_on_processes_and_name() -> None:
    one, two = PolicyTraining(), PolicyTraining(processes=2, name="other")
    assert deciding_values(one) == deciding_values(two)
    assert command_of(one) == command_of(two)


def test_the_command_names_what_differs_from_the_defaults() -> None:
    config = PolicyTraining(
        learning=GainFit(penalty=5.0),
        policy=Planner(threshold=0.1),
        store=SQLite(path="my.db"),
        tasks=9,
    )
    assert command_of(config) == (
        "esper train-policy rng_seed=0 tasks=9 first_task=1000 learning.penalty=5.0 "
        "policy=planner policy.threshold=0.1 store=sqlite store.path=my.db"
    )


def test_a_training_continues_under_the_same_configuration_alone() -> None:
    config = PolicyTraining(tasks=10)
    before = record_of(config)
    check_same(before, config)
    check_same(before, replace(config, tasks=11, processes=2, name="other"))
    with pytest.raises(ConfigError, match="tasks was 10, is 9 now"):
        check_same(before, replace(config, tasks=9))
    with pytest.raises(ConfigError, match=r"learning\.members was 20, is 7 now"):
        check_same(before, replace(config, learning=GainFit(members=7)))
    with pytest.raises(ConfigError, match="features was"):
        check_same({**before, "features": ["other"]}, config)
