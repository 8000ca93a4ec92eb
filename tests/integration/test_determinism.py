"""A run is a function of its configuration and `rng_seed`: nothing else steers it.

Every process salts the hashes of its strings anew, so what follows the order of a set differs.
"""

from pathlib import Path

import pytest

from experiments.chaos.left import without_clock
from tests.integration.harness import Done, Run, esper_forked

MEASURED = {"wall_s", "processor_s", "peak_memory_mb", "control_fraction", "run_dir"}
"""What is measured of a process; the folder is named after the time."""

SHORT = [
    *("train", "epochs=8", "training.steps_per_epoch=10", "policy=schedule"),
    "safety.max_cost=99",
]
VARIANTS = {
    "plain": ["logger=none"],
    "other": ["logger=none", "rng_seed=1"],
    "wandb": ["logger=wandb"],
    "tensorboard": ["logger=tensorboard"],
}


@pytest.fixture(scope="module")
def first(default_twice: tuple[Done, Done]) -> Run:
    return default_twice[0].run


@pytest.fixture(scope="module")
def second(default_twice: tuple[Done, Done]) -> Run:
    return default_twice[1].run


def test_the_runs_compared_have_something_to_differ_in(first: Run) -> None:
    assert first.summary["seeds_germinated"] >= 3
    assert first.summary["seeds_fossilized"] >= 1
    assert first.summary["seeds_culled"] >= 1


def test_metrics_are_the_same(first: Run, second: Run) -> None:
    assert without_clock(first.metrics) == without_clock(second.metrics)


def test_events_are_the_same(first: Run, second: Run) -> None:
    assert len(first.events) == len(second.events)
    for one, other in zip(first.events, second.events, strict=True):
        assert without_clock(one) == without_clock(other)


def test_the_summaries_are_the_same(first: Run, second: Run) -> None:
    assert set(first.summary) == set(second.summary)
    for key in set(first.summary) - MEASURED:
        assert first.summary[key] == second.summary[key], key


def test_the_networks_are_the_same_to_the_last_bit(first: Run, second: Run) -> None:
    assert network(first) == network(second)


def network(run: Run) -> bytes:
    return (run.path / "network.safetensors").read_bytes()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder: Path = tmp_path_factory.mktemp("short")
    done = esper_forked(folder, {name: [*SHORT, *args] for name, args in VARIANTS.items()})
    return {name: each.run for name, each in done.items()}


def test_another_rng_seed_gives_another_run(short: dict[str, Run]) -> None:
    one, other = ({line["val_loss"] for line in short[name].metrics} for name in ("plain", "other"))
    assert len(one) == len(other) == 8
    assert not one & other
    assert network(short["plain"]) != network(short["other"])


@pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
def test_who_is_told_of_a_run_changes_nothing_of_it(short: dict[str, Run], logger: str) -> None:
    assert short["plain"].moves("BLENDING"), "something grew"
    assert without_clock(short[logger].metrics) == without_clock(short["plain"].metrics)
    assert without_clock(short[logger].events) == without_clock(short["plain"].events)
    assert network(short[logger]) == network(short["plain"])
