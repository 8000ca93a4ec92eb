"""The prior that is made from real runs: a function of the command, with every trial in it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from esper.contracts.ledger import LedgerEntry
from esper.store.prior import read_prior
from experiments.make_prior import make, trials

EPOCHS = 8
REWARDS = ("multi_metric", "gain", "sparse")


@pytest.fixture(scope="module")
def entries() -> list[LedgerEntry]:
    return [LedgerEntry(**value) for value in trials("spirals", EPOCHS, 100)]


def test_the_trials_of_a_run_do_not_depend_on_place_or_clock(entries: list[LedgerEntry]) -> None:
    assert entries
    runs = {(entry.run, entry.latency_ms) for entry in entries}
    assert runs == {(f"spirals/100/{model}", None) for model in REWARDS}
    again = [LedgerEntry(**value) for value in trials("spirals", EPOCHS, 100)]
    assert again == entries


def test_the_file_holds_every_trial_and_how_it_was_made(
    tmp_path: Path, entries: list[LedgerEntry]
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
    assert sum(row.trials for row in rows) == sum(e.reward is not None for e in entries)
    assert {row.blueprint for row in read_prior(one)} == {e.blueprint for e in entries}
    made = json.loads(one.read_text())
    assert made["command"] == "the command"
    config = made["config"]["spirals"]
    assert (config["epochs"], config["rng_seed"]) == (EPOCHS, 100)
    assert config["strategy"]["name"] == "random"
    assert config["data"]["split_seed"] == 0
    assert config["store"] == {"name": "memory", "prior": "none"}


def test_task_families_are_kept_apart(tmp_path: Path, entries: list[LedgerEntry]) -> None:
    some = [e for e in entries if e.reward is not None][:1]
    images = [replace(e, run="digits/100", task_family="image") for e in some]
    found = {"digits": images, "spirals": some}
    rows = make(tmp_path / "out.json", found, EPOCHS, "command")
    assert [(row.task_family, row.trials) for row in rows] == [("image", 1), ("vector", 1)]
