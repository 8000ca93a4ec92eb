"""The aim of a trained host, and who reaches it, by curves written by hand and one short run."""

import pytest

from experiments import trained_hosts
from experiments.trained_hosts import cell, reached, table_of

CURVE = [(1.0, 0.9), (2.0, 0.5), (3.0, 0.4), (4.0, 0.6)]
RATES = {"dense": dict.fromkeys(("1", "2", "4", "shrink_perturb", "restart", "preserving"), 0.03)}


def test_an_aim_is_reached_where_the_curve_is_first_as_low() -> None:
    assert reached(CURVE, 0.5, 8.0) == 0.25
    assert reached(CURVE, 0.45, 8.0) == 0.375
    assert reached(CURVE, 0.3, 8.0) is None


def test_those_who_never_reach_it_count_as_slowest() -> None:
    rows = [{"aim": 1.0, "trained": 2.0, "on": share} for share in (0.5, None, 0.7, 0.6, None)]
    (row,) = table_of(rows).values()
    assert (row["median"], row["never"]) == (0.7, 2)
    assert row["at most 60 %"].startswith("+0.4000 [")


def test_what_goes_on_begins_where_the_trained_host_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_hosts, "TRAINED_FOR", 0.05)
    monkeypatch.setattr(trained_hosts, "BUDGET", 0.05)
    row = cell(RATES, "dense", 100)
    # A trained host of half their width is better than what networks from scratch have learned.
    assert row["trained"] < row["aim"]
    assert row["continue"] < 0.1
    assert {"shrink_perturb", "preserving", "restart"} <= set(row)
