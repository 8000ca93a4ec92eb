"""What a trial of a blueprint is expected to bring."""

from typing import Any

import pytest

from esper.contracts.stage import SeedStage
from esper.strategy.expectation import expected_gains
from esper.strategy.ledger import Ledger


def ledger_of(make_entry: Any, *gains: tuple[str, float], **fields: Any) -> Ledger:
    ledger = Ledger()
    for event, (blueprint, gain) in enumerate(gains):
        ledger.record(make_entry(str(event), blueprint=blueprint, loss_reduction=gain, **fields))
    return ledger


def test_nothing_is_expected_while_no_gain_is_known(make_state: Any) -> None:
    found = expected_gains(Ledger(), make_state(), ["a", "b"], {"a": 1.0, "b": 2.0})
    assert found == {"a": None, "b": None}


def test_an_untried_blueprint_is_expected_to_bring_its_share_of_what_is_typical(
    make_state: Any, make_entry: Any
) -> None:
    # Typical is (0.06 - 0.02) / 2.
    ledger = ledger_of(make_entry, ("a", 0.06), ("b", -0.02))
    found = expected_gains(ledger, make_state(), ["c", "d"], {"c": 4.0, "d": 1.0})
    assert found == pytest.approx({"c": 0.02, "d": 0.005})
    unranked = expected_gains(ledger, make_state(), ["c", "d"], {})
    assert unranked == pytest.approx({"c": 0.02, "d": 0.02})


def test_where_trials_lose_a_low_rank_is_no_hope(make_state: Any, make_entry: Any) -> None:
    ledger = ledger_of(make_entry, ("a", 0.06), ("b", -0.5))
    found = expected_gains(ledger, make_state(), ["c", "d"], {"c": 4.0, "d": 1.0})
    assert found == pytest.approx({"c": -0.22, "d": -0.22})


def test_each_failure_in_a_slot_lowers_what_its_untried_blueprints_promise(
    make_state: Any, make_entry: Any
) -> None:
    ledger = ledger_of(make_entry, ("a", 0.06), slot="elsewhere")
    found = [expected_gains(ledger, make_state(), ["d"], {"d": 1.0})["d"]]
    for number, (name, gain) in enumerate([("a", -0.01), ("b", -0.01), ("c", -0.02)]):
        ledger.record(make_entry(f"here {number}", blueprint=name, loss_reduction=gain))
        found.append(expected_gains(ledger, make_state(), ["d"], {"d": 1.0})["d"])
    # The one elsewhere is worth 1 / (1 + 1) trials of 0.06: 0.03 over 0.5, and so on.
    expected = [0.03 / 0.5, 0.02 / 1.5, 0.01 / 2.5, -0.01 / 3.5]
    assert found == pytest.approx(expected)


def test_own_trials_count_more_than_those_elsewhere(make_state: Any, make_entry: Any) -> None:
    ledger = ledger_of(make_entry, ("a", 0.06), slot="elsewhere")
    ledger.record(make_entry("here", blueprint="a", loss_reduction=-0.06))
    # (-0.06 + 0.5 * 0.06) / 1.5 is both the mean of `a` and what is typical.
    found = expected_gains(ledger, make_state(), ["a"], {"a": 1.0})
    assert found == pytest.approx({"a": -0.02})


def test_own_trials_outweigh_the_prior_the_more_there_are(make_state: Any, make_entry: Any) -> None:
    scores = {"a": 1.0, "b": 2.0}
    once = ledger_of(make_entry, ("a", 0.06), ("b", -0.02))
    # Typical is 0.02: (1 * 0.06 + 0.02 / 2) / 2 and (-0.02 + 0.02) / 2.
    found = expected_gains(once, make_state(), ["a", "b"], scores)
    assert found == pytest.approx({"a": 0.035, "b": 0.0})
    thrice = ledger_of(make_entry, ("a", 0.06), ("a", 0.06), ("a", 0.06), ("b", -0.02))
    # Typical is 0.04: (3 * 0.06 + 0.04 / 2) / 4.
    found = expected_gains(thrice, make_state(), ["a"], scores)
    assert found == pytest.approx({"a": 0.05})


def test_live_kernels_of_the_slot_count_as_known(make_state: Any) -> None:
    live = {"stage": SeedStage.PROBATIONARY, "gain": 0.02}
    found = expected_gains(Ledger(), make_state(s0=live), ["b"], {"b": 1.0})
    assert found == {"b": 0.02}
    lost = {"stage": SeedStage.PROBATIONARY, "gain": -0.04}
    found = expected_gains(Ledger(), make_state(s0=live, s1=lost), ["b"], {"b": 1.0})
    assert found == pytest.approx({"b": -0.01})
    gone = {"stage": SeedStage.DORMANT, "gain": 0.02}
    assert expected_gains(Ledger(), make_state(s0=gone), ["b"], {"b": 1.0}) == {"b": None}
