"""What a trial of a blueprint is expected to bring."""

from typing import Any

import pytest

from esper.contracts.stage import SeedStage
from esper.strategy.expectation import expected_gains
from esper.strategy.ledger import Ledger


def ledger_of(make_entry: Any, *gains: tuple[str, float]) -> Ledger:
    ledger = Ledger()
    for event, (blueprint, gain) in enumerate(gains):
        ledger.record(make_entry(str(event), blueprint=blueprint, loss_reduction=gain))
    return ledger


def test_nothing_is_expected_while_no_gain_is_known(make_state: Any) -> None:
    found = expected_gains(Ledger(), make_state(), ["a", "b"], {"a": 1.0, "b": 2.0})
    assert found == {"a": None, "b": None}


def test_an_untried_blueprint_is_expected_to_bring_its_share_of_what_is_typical(
    make_state: Any, make_entry: Any
) -> None:
    # Typical is (0.06 + 0) / 2: the trial of `b` brought 0, because it was culled.
    ledger = ledger_of(make_entry, ("a", 0.06), ("b", -0.5))
    found = expected_gains(ledger, make_state(), ["c", "d"], {"c": 4.0, "d": 1.0})
    assert found == pytest.approx({"c": 0.03, "d": 0.0075})
    unranked = expected_gains(ledger, make_state(), ["c", "d"], {})
    assert unranked == pytest.approx({"c": 0.03, "d": 0.03})


def test_own_trials_outweigh_the_prior_the_more_there_are(make_state: Any, make_entry: Any) -> None:
    scores = {"a": 1.0, "b": 2.0}
    once = ledger_of(make_entry, ("a", 0.06), ("b", 0.0))
    # (1 * 0.06 + 0.03 / 2) / 2 and (0 + 0.03) / 2.
    found = expected_gains(once, make_state(), ["a", "b"], scores)
    assert found == pytest.approx({"a": 0.0375, "b": 0.015})
    thrice = ledger_of(make_entry, ("a", 0.06), ("a", 0.06), ("a", 0.06), ("b", 0.0))
    # (3 * 0.06 + 0.03 / 2) / 4.
    found = expected_gains(thrice, make_state(), ["a"], scores)
    assert found == pytest.approx({"a": 0.04875})


def test_live_kernels_of_the_slot_count_as_known(make_state: Any) -> None:
    live = {"stage": SeedStage.PROBATIONARY, "gain": 0.02}
    found = expected_gains(Ledger(), make_state(s0=live), ["b"], {"b": 1.0})
    assert found == {"b": 0.02}
    gone = {"stage": SeedStage.DORMANT, "gain": 0.02}
    assert expected_gains(Ledger(), make_state(s0=gone), ["b"], {"b": 1.0}) == {"b": None}
