"""Grown against never grown: paired differences, counts, and losses."""

import math
from typing import Any

import pytest
import torch

from experiments.never_harm import is_loss, paired, paired_difference, shown, tables
from experiments.own_loop import own_loop, readme_model
from experiments.tasks import Place


def arm(hits: list[float], trials: int = 0, kept: int = 0) -> dict[str, Any]:
    hits_N = torch.tensor(hits)
    return {"hits_N": hits_N, "losses_N": 1 - hits_N, "trials": trials, "kept": kept}


def test_the_error_is_that_of_pairs_of_samples() -> None:
    # Differences 1, 0, 0, -1: mean 0, deviation sqrt(2/3), error sqrt(2/3)/2.
    value, error = paired_difference(
        torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    )
    assert value == 0
    assert error == pytest.approx(math.sqrt(2 / 3) / 2)
    same = torch.tensor([1.0, 0.0])
    assert paired_difference(same, same) == (0, 0)


def test_differences_are_in_points_and_grown_minus_never() -> None:
    pair = paired(arm([1.0, 1.0, 1.0, 0.0], trials=3, kept=1), arm([0.0, 0.0, 1.0, 0.0]))
    assert pair["difference_pp"] == pytest.approx(50)
    assert pair["grown"] == {"accuracy": 0.75, "loss": 0.25, "trials": 3, "kept": 1}
    assert pair["never"]["accuracy"] == 0.25


def test_a_loss_lies_more_than_three_errors_under_zero() -> None:
    assert is_loss({"difference_pp": -3.1, "error_pp": 1.0})
    assert not is_loss({"difference_pp": -2.9, "error_pp": 1.0})
    assert not is_loss({"difference_pp": 9.0, "error_pp": 1.0})
    assert not is_loss({"difference_pp": 0.0, "error_pp": 0.0})


def row(task: str, epochs: int, rng_seed: int, difference: float, trials: int = 0) -> Any:
    pair = {
        "grown": {"trials": trials, "kept": trials // 2},
        "never": {"trials": 0, "kept": 0},
        "difference_pp": difference,
        "error_pp": 1.0,
    }
    other = {**pair, "difference_pp": 0.0}
    return {"task": task, "epochs": epochs, "rng_seed": rng_seed, "run": pair, "loop": other}


def test_the_tables_average_by_budget_and_task_and_count_trials() -> None:
    rows = [
        row("digits", 4, 0, -5.0),
        row("digits", 4, 1, 1.0),
        row("text", 4, 0, 4.0),
        row("text", 12, 0, 0.0, trials=2),
        row("digits", 40, 0, 1.0, trials=4),
        row("digits", 40, 1, 1.0, trials=9),
        row("text", 40, 0, 1.0, trials=10),
    ]
    found = tables(rows)
    four = found["run"]["grown_minus_never_pp"]["4"]
    assert four["digits"][0] == -2.0
    assert four["text"] == [4.0, 4.0, 4.0]
    assert four["all tasks"][0] == 1.0, "tasks weigh the same"
    trials = found["run"]["trials"]
    assert trials["share_with_3_or_more_from_12_epochs"][0] == 0.75
    assert (trials["median_trials_at_40"], trials["median_kept_at_40"]) == (9, 4)
    (loss,) = found["run"]["losses"]
    assert (loss["task"], loss["epochs"], loss["difference_pp"]) == ("digits", 4, -5.0)
    assert "run" not in loss
    assert found["loop"]["losses"] == []
    lines = "\n".join(shown(found))
    assert "  4 epochs  digits -2.00 [-5.00, +1.00]  text +4.00" in lines
    assert "    digits, 4 epochs, rng seed 0: -5.00 +- 1.00" in lines


def test_what_no_run_tells_is_not_counted() -> None:
    trials = tables([row("digits", 4, 0, 1.0, trials=5)])["run"]["trials"]
    assert set(trials.values()) == {None}


def test_the_loop_of_the_readme_trains_and_never_grows_if_told_so() -> None:
    grown = own_loop(Place("spirals", 12), 0)
    plain = own_loop(Place("spirals", 12), 0, policy="never")
    assert grown["trials"] >= 1
    assert plain["trials"] == plain["kept"] == 0
    assert grown["hits_N"].shape == plain["hits_N"].shape == (240,)
    again = own_loop(Place("spirals", 12), 0, policy="never")
    assert torch.equal(again["losses_N"], plain["losses_N"])
    assert float(plain["losses_N"].mean()) < math.log(3), "it learned something"
    assert readme_model()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
