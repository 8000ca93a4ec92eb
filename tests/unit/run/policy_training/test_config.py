"""The options of a training of a policy."""

from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.errors import ConfigError
from esper.learning.options import Learning
from esper.logger.wandb import Wandb
from esper.policy.gnn import GNN
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
        ({"policy": Heuristic()}, r"one that can be trained \(planner, gnn, hierarchical, actor_"),
        ({"policy": Planner(path="x")}, r"policy\.path=x has no effect"),
        ({"policy": GNN(price=0.1)}, r"policy\.price=0\.1 has no effect"),
        ({"policy": GNN(pretrained="x")}, r"policy\.pretrained=x has no effect"),
        ({"learning": Learning(clip=0.1)}, "learning.clip=0.1 has no effect on policy=planner"),
        ({"check_tasks": 0}, "check_tasks must be >= 1, got 0"),
        ({"check_tasks": 3}, "check_tasks has no effect on policy=planner"),
        ({"start": "x"}, "start has no effect on policy=planner"),
        ({"logger": Wandb()}, "logger has no effect on policy=planner"),
        (
            {"policy": GNN(), "learning": Learning(members=9)},
            "learning.members=9 has no effect on policy=gnn",
        ),
        ({"policy": GNN(), "tasks": 0}, "tasks must be >= 4, or 0 with a store to learn from, got"),
        ({"store": SQLite(path="a.db"), "tasks": 0}, "tasks must be >= 4, got 0"),
        (
            {"policy": GNN(), "tasks": 1, "store": SQLite(path="a.db")},
            "tasks must be >= 4, or 0 with a store to learn from, got 1",
        ),
        ({"policy": GNN(), "tasks": 5}, "learning.tasks_at_once must be <= tasks=5, got 12"),
        ({"store": Heuristic()}, "store must be one of memory, sqlite, redis, snapshot"),
    ],
)
def test_what_is_wrong_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PolicyTraining(**values)


def test_the_policy_does_not_depend_on_processes_and_loggers() -> None:
    one = PolicyTraining(policy=GNN())
    two = replace(one, processes=2, logger=Wandb())
    assert deciding_values(one) == deciding_values(two)
    assert command_of(one) == command_of(two)


def test_the_command_names_what_differs_from_the_defaults() -> None:
    config = PolicyTraining(
        learning=Learning(penalty=5.0),
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
    check_same(before, replace(config, tasks=11, processes=2))
    with pytest.raises(ConfigError, match="tasks was 10, is 9 now"):
        check_same(before, replace(config, tasks=9))
    with pytest.raises(ConfigError, match=r"learning\.members was 20, is 7 now"):
        check_same(before, replace(config, learning=Learning(members=7)))
    with pytest.raises(ConfigError, match="features was"):
        check_same({**before, "features": ["other"]}, config)


def test_a_training_by_a_store_alone_names_no_task_to_play() -> None:
    config = PolicyTraining(policy=GNN(), tasks=0, store=SQLite(path="a.db"))
    assert config.num_updates == 0
    assert command_of(config) == (
        "esper train-policy rng_seed=0 tasks=0 policy=gnn store=sqlite store.path=a.db"
    )


def test_a_networks_training_names_its_own_keys_alone() -> None:
    config = PolicyTraining(policy=GNN(caution=1.0), learning=Learning(rate=0.5), start="old")
    assert (config.num_tasks, config.start_task, config.num_updates) == (1200, 2000, 100)
    assert command_of(config) == (
        "esper train-policy rng_seed=0 tasks=1200 first_task=2000 start=old learning.rate=0.5 "
        "policy=gnn policy.caution=1.0 store=memory"
    )
    learning = deciding_values(config)["learning"]
    assert "members" not in learning
    assert learning["rate"] == 0.5
    assert set(deciding_values(PolicyTraining())["learning"]) == {"members", "penalty"}
