"""The file of a prior: written, read, weighted, and refused where there is none or it is broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.contracts.ledger import PoolPrior
from esper.store.memory import Memory
from esper.store.prior import (
    check_prior,
    pool_priors,
    read_prior,
    shipped,
    write_prior,
)
from esper.store.redis import Redis
from esper.store.snapshot import Snapshot
from esper.store.sqlite import SQLite


def row(**values: Any) -> PoolPrior:
    given = {
        "task_family": "image",
        "reward_model": "gain",
        "slot_kind": "dense",
        "placement": "series",
        "blueprint": "a",
        "trials": 40,
        "mean_reward": 0.25,
        "spread": 0.125,
        "mean_gain": None,
    }
    return PoolPrior(**{**given, **values})


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    rows = [row(blueprint="b", mean_gain=1 / 3), row()]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_prior(one, rows, {"command": "made"})
    write_prior(two, rows[::-1], {"command": "made"})
    assert one.read_bytes() == two.read_bytes()
    assert read_prior(one) == [row(), row(blueprint="b", mean_gain=0.333333)]
    assert json.loads(one.read_text())["command"] == "made"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "is not of format 2"),
        ({"format": 1, "pools": []}, "is not of format 2"),
        ({"format": 2}, "must hold a list of pools"),
        ({"format": 2, "pools": [{}]}, "pool 0: "),
        ({"format": 2, "pools": [3]}, "pool 0: "),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, value: Any, words: str) -> None:
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError) as refused:
        read_prior(path)
    assert str(refused.value).startswith(f"the prior {path}")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            ("trials", 0),
            ("trials", True),
            ("is_late", 1),
            ("mean_reward", "much"),
            ("spread", -1.0),
        ],
        *[("mean_gain", "some"), ("blueprint", 3), ("mean_reward", 1e999)],
    ],
)
def test_a_broken_row_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "prior.json"
    write_prior(path, [row()], {})
    content = json.loads(path.read_text())
    content["pools"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="pool 0 has a value of a wrong type or size"):
        read_prior(path)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prior.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_prior(tmp_path / "prior.json")


def test_none_expects_nothing() -> None:
    check_prior("none")
    assert pool_priors("none") == []


@pytest.mark.parametrize("option", [Memory, SQLite, Redis, Snapshot])
def test_every_store_names_its_prior(option: Any) -> None:
    assert option().prior == "shipped"
    with pytest.raises(ValueError, match=r"store\.prior must be one of none, shipped, got 'mine'"):
        option(prior="mine")


def test_the_shipped_prior_is_whole_and_says_how_it_was_made() -> None:
    check_prior("shipped")
    rows = read_prior(shipped())
    assert {row.reward_model for row in rows} == {"multi_metric", "gain", "sparse"}
    assert {row.task_family for row in rows} == {"image", "tokens", "vector"}
    made = json.loads(shipped().read_text(encoding="utf-8"))
    assert made["command"].startswith("python -m experiments.make_prior ")
    assert {config["rng_seed"] for config in made["config"].values()} == {100}
    assert pool_priors("shipped") == rows
