"""Ways to choose at equal cost, a ledger against none: the tables by hand, and watched runs."""

import math
from pathlib import Path
from typing import Any

import pytest

from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from experiments.choosing import ALONE, changes_of, ledger_cell, run_cell
from experiments.choosing_table import (
    conditions_table,
    difference,
    ledger_table,
    promises_table,
    scores_at,
    shown,
    standing,
)
from experiments.measured import measure
from experiments.tasks import Place

EPOCHS, RNG_SEED = 24, 100


def row(condition: str, rng_seed: int, losses: dict[float, float], **values: Any) -> dict[str, Any]:
    """Return a run that reads out a network of a test loss from so many FLOPs spent on."""
    kept = {
        "flops": list(losses),
        "test_loss": list(losses.values()),
        "test_accuracy": [1 - loss for loss in losses.values()],
    }
    last = list(losses.values())[-1]
    return {
        "task": "digits",
        "condition": condition,
        "rng_seed": rng_seed,
        "test_loss": last,
        "test_accuracy": 1 - last,
        "flops": 100.0,
        "trials": 4,
        "fossilized": 1,
        "processor_s": 2.0,
        "kept": kept,
        "choices": [],
        "pairs": [],
        **values,
    }


def test_scores_are_those_of_the_best_network_so_far() -> None:
    run = row("cold", 0, {10.0: 0.8, 40.0: 0.4, 90.0: 0.2})
    assert scores_at(run, 89.0) == (0.4, 0.6)
    assert scores_at(run, 90.0)[0] == 0.2
    assert scores_at(run, 5.0)[0] == 0.8, "it has no earlier one"


def test_the_cheaper_run_says_how_much_both_may_spend() -> None:
    cheap = row("shipped", 0, {10.0: 0.8, 30.0: 0.5}, flops=50.0)
    dear = row("cold", 0, {20.0: 0.9, 60.0: 0.25}, flops=100.0)
    found = difference(cheap, dear)
    assert found["log_loss"] == pytest.approx(math.log(0.5 / 0.9))
    assert found["accuracy"] == pytest.approx(0.4)
    assert found["final_log_loss"] == pytest.approx(math.log(2))
    assert found["final_accuracy"] == pytest.approx(-0.25)
    assert found["log_flops"] == pytest.approx(-math.log(2))
    assert difference(dear, cheap)["log_loss"] == pytest.approx(-found["log_loss"])


def test_conditions_are_paired_by_rng_seed_and_task() -> None:
    rows = [
        row("shipped", 0, {1.0: 0.2}, choices=[True, False]),
        row("shipped", 1, {1.0: 0.4}, choices=[True, True]),
        row("shipped", 2, {1.0: 0.1}),
        row("random", 0, {1.0: 0.4}),
        row("random", 1, {1.0: 0.8}),
        row("shipped", 0, {1.0: 0.3}, task="text"),
        row("random", 0, {1.0: 0.3}, task="text"),
    ]
    table = conditions_table(rows)
    found = table["by_task"]["digits"]
    assert found["random"]["pairs"] == 2
    assert found["random"]["log_loss"] == pytest.approx([-math.log(2)] * 3)
    assert found["random"]["by_first_order"] is None
    assert (found["shipped"]["choices"], found["shipped"]["by_first_order"]) == (4, 0.75)
    assert found["shipped"]["log_loss"] == [0, 0, 0]
    assert table["all_tasks_log_loss"]["random"][0] == pytest.approx(-math.log(2) / 2)
    lines = list(shown({"conditions": table, "ledger": {}, "promises": promises_table(rows)}))
    line = next(line for line in lines if line.startswith("  random"))
    assert "-50.00 [-50.00, -50.00]" in line
    assert line.endswith("better")
    assert "expected against measured gain, text, pooled: not determined by 0 pairs" in lines


def test_the_interval_decides() -> None:
    assert standing([-2.0, -3.0, -1.0]) == "better"
    assert standing([-2.0, -3.0, 1.0]) == "not worse"
    assert standing([0.0, 0.0, 0.0]) == "not worse"
    assert standing([2.0, 1.0, 3.0]) == "worse"


def test_a_ledger_is_judged_by_the_runs_after_the_first() -> None:
    alone = [row("shipped", seed, {1.0: 0.4}) for seed in range(6)]
    losses = [[0.4, 0.8, 0.4], [0.4, 0.8, 0.2]]
    sequences = [
        [row("ledger", 3 * number + k, {1.0: loss}) for k, loss in enumerate(sequence)]
        for number, sequence in enumerate(losses)
    ]
    found = ledger_table(sequences, alone)["digits"]
    assert found["first"] == [0.0, 0.0]
    # Sequence means: log(2)/2 and (log(2) - log(2))/2 = 0.
    assert found["mean"] == pytest.approx([math.log(2) / 4, 0.0, math.log(2) / 2])
    assert found["by_run"]["2"] == pytest.approx([math.log(2)] * 3)
    assert found["by_run"]["3"] == pytest.approx([-math.log(2) / 2, -math.log(2), 0.0])
    assert found["worse_runs"] == [2]
    empty = {"by_task": {}, "all_tasks_log_loss": {}}
    lines = list(shown({"conditions": empty, "ledger": {"digits": found}, "promises": {}}))
    assert lines[-1].endswith("not worse; in the first runs at most 0; worse in the runs [2]")


@pytest.fixture(scope="module")
def by_first_order() -> dict[str, Any]:
    return run_cell("spirals", EPOCHS, "first_order", RNG_SEED)


def test_first_order_alone_always_takes_the_highest_score(by_first_order: dict[str, Any]) -> None:
    choices = by_first_order["choices"]
    assert len(choices) >= 3
    assert all(choices)
    others = run_cell("spirals", EPOCHS, "random", RNG_SEED)["choices"]
    assert not all(others), "what is asserted can fail"


def test_a_watched_run_is_the_same_and_ends_with_its_last_network(
    by_first_order: dict[str, Any],
) -> None:
    place = Place("spirals", EPOCHS, split_seed=0)
    run = measure(place.config(RNG_SEED, **changes_of("first_order")))
    assert by_first_order["test_loss"] == run.summary["test_loss"]
    assert by_first_order["flops"] == run.flops
    kept = by_first_order["kept"]
    assert kept["test_loss"][-1] == pytest.approx(run.summary["test_loss"], rel=1e-5)
    assert kept["test_accuracy"][-1] == pytest.approx(run.summary["test_accuracy"])
    assert kept["flops"] == sorted(kept["flops"])
    epoch = run.summary["read_out_epoch"]
    assert kept["flops"][-1] == pytest.approx(sum(line["flops"] for line in run.lines[:epoch]))


def test_conditions_differ_in_strategy_and_prior_alone() -> None:
    assert changes_of("cold")["strategy"] == UCB()
    assert changes_of("cold")["store"].prior == "none"
    alone = changes_of("first_order")["strategy"]
    assert alone == UCB(exploration_constant=0.0, first_order_weight=ALONE)
    assert changes_of("random")["strategy"].name == "random"
    assert changes_of("fixed")["strategy"].name == "fixed"


@pytest.fixture
def prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package ship a prior that knows no pool."""
    from esper.store import prior

    path = tmp_path / "prior.json"
    prior.write_prior(path, [], {})
    monkeypatch.setattr(prior, "shipped", lambda: path)


@pytest.mark.usefixtures("prior")
def test_runs_of_a_sequence_read_what_earlier_ones_found() -> None:
    rows = ledger_cell("ledger", "spirals", EPOCHS, RNG_SEED, 2)
    assert [each["rng_seed"] for each in rows] == [RNG_SEED, RNG_SEED + 1]
    assert rows[0]["entries_read"] == 0
    assert 0 < rows[1]["entries_read"] <= rows[0]["trials"]
    alone = run_cell("spirals", EPOCHS, "shipped", RNG_SEED)
    assert difference(rows[0], alone)["final_log_loss"] == 0, "an empty ledger says nothing"


@pytest.mark.usefixtures("prior")
def test_another_strategy_takes_the_shipped_prior() -> None:
    changes = changes_of("thompson+prior")
    assert changes["strategy"] == Thompson()
    assert changes["store"].prior == "shipped"
