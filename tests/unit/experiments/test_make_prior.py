"""The prior that is made from real runs: a function of the command, with every trial in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from esper.store.prior import read_prior
from experiments.make_prior import make, trials

EPOCHS = 8
REWARDS = ("multi_metric", "gain", "sparse")


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    return trials("spirals", EPOCHS, 100)


def test_the_trials_of_a_run_do_not_depend_on_place_or_clock(entries: list[dict[str, Any]]) -> None:
    assert entries
    runs = {(entry["run"], entry["latency_ms"]) for entry in entries}
    assert runs == {(f"spirals/100/{model}", None) for model in REWARDS}
    assert trials("spirals", EPOCHS, 100) == entries
    assert {entry["is_late"] for entry in entries} == {False}, "it has one slot"


def test_the_file_holds_every_trial_and_how_it_was_made(
    tmp_path: Path, entries: list[dict[str, Any]]
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    rows = make(one, {"spirals": entries}, EPOCHS, "the command")
    make(two, {"spirals": entries[::-1]}, EPOCHS, "the command")
    assert one.read_bytes() == two.read_bytes()
    assert {(row.task_family, row.reward_model) for row in rows} == {
        ("vector", model) for model in REWARDS
    }
    means = {(row.blueprint, row.mean_reward) for row in rows}
    assert len(means) == len(rows), "each model judges in its own way"
    assert sum(row.trials for row in rows) == sum(e["reward"] is not None for e in entries)
    assert {row.blueprint for row in read_prior(one)} == {e["blueprint"] for e in entries}
    made = json.loads(one.read_text())
    assert made["command"] == "the command"
    config = made["config"]["spirals"]
    assert (config["epochs"], config["rng_seed"]) == (EPOCHS, 100)
    assert config["strategy"]["name"] == "random"
    assert config["data"]["split_seed"] == 0
    assert config["store"] == {"name": "memory", "prior": "none"}


def test_task_families_are_kept_apart(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    some = [e for e in entries if e["reward"] is not None][:1]
    images = [{**e, "run": "digits/100", "task_family": "image", "is_late": True} for e in some]
    found = {"digits": images, "spirals": some}
    rows = make(tmp_path / "out.json", found, EPOCHS, "command")
    assert [(row.task_family, row.trials, row.is_late) for row in rows] == [
        ("vector", 1, False),
        ("image", 1, True),
    ]
