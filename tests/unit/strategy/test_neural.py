"""The neural strategy: what its network foresees, and what it chooses by."""

import json
from collections.abc import Callable
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest

from esper.contracts.slot import SlotKind
from esper.strategy.base import Context, View
from esper.strategy.foresight import LEAST_TRIALS, MOST_TRIALS
from esper.strategy.ledger import Ledger
from esper.strategy.neural import Neural
from esper.strategy.prior import Prior

Make = Callable[..., Any]


def _context(share: float, slot: float = 0.5) -> tuple[float, ...]:
    return (1.0, 0.5, 0.5, share, 0.5, slot, 0.5)


def _settled(make_entry: Make) -> list[Any]:
    """Return trials of `a` and `b` that pay where the slot's number and the name agree."""
    rng, entries = Random(0), []
    for number in range(80):
        name, slot = "ab"[number % 2], rng.random()
        pays = (slot > 0.5) == (name == "a")
        context = _context(rng.random(), slot)
        reward = 1.0 if pays else -1.0
        entries.append(make_entry(str(number), blueprint=name, reward=reward, context=context))
    return entries


def _foreseen(ledger: Ledger, spec: Any, name: str, slot: float) -> tuple[float, float]:
    arm = ledger.arm(spec, 0, name, view=View(features=_context(0.5, slot), is_network=True))
    return arm.predicted, arm.uncertainty


def test_it_foresees_what_depends_on_both_name_and_slot(make_entry: Make, make_spec: Make) -> None:
    """Rewards of 1 and -1 are 0.75 and 0.25 on the scale from 0 to 1; a line would say 0.5."""
    ledger = Ledger()
    for entry in _settled(make_entry):
        ledger.record(entry)
    spec = make_spec()
    assert 0.6 < _foreseen(ledger, spec, "a", 0.9)[0] < 0.8
    assert 0.2 < _foreseen(ledger, spec, "a", 0.1)[0] < 0.4
    assert 0.2 < _foreseen(ledger, spec, "b", 0.9)[0] < 0.4
    assert 0.6 < _foreseen(ledger, spec, "b", 0.1)[0] < 0.8
    # What one name has seen in 40 trials leaves less doubt than a single one.
    assert 0 < _foreseen(ledger, spec, "a", 0.9)[1] < 0.5


def test_what_it_foresees_follows_new_and_revised_trials(make_entry: Make, make_spec: Make) -> None:
    ledger, spec = Ledger(), make_spec()
    entries = _settled(make_entry)
    for entry in entries[:LEAST_TRIALS]:
        assert _foreseen(ledger, spec, "a", 0.9) == (0.5, 1.0)
        ledger.record(entry)
    found = [_foreseen(ledger, spec, "a", 0.9)]
    ledger.record(entries[LEAST_TRIALS])
    found.append(_foreseen(ledger, spec, "a", 0.9))
    ledger.revise(entries[0].run, entries[0].event, -entries[0].reward, 1.0)
    found.append(_foreseen(ledger, spec, "a", 0.9))
    assert len(set(found)) == 3


def test_a_prior_is_weighed_in_as_so_many_trials(make_spec: Make) -> None:
    view = View(features=_context(0.5), is_network=True)
    arm = Ledger().arm(make_spec(), 0, "a", Prior(1.0, 1.0, 3.0), view)
    assert (arm.predicted, arm.uncertainty) == (pytest.approx((0.5 + 3) / 4), 0.25)


def test_trials_of_other_runs_and_other_slots_count(make_entry: Make, make_spec: Make) -> None:
    ledger = Ledger()
    ledger.warm_start(_settled(make_entry), "mine")
    elsewhere = make_spec(name="other")
    assert _foreseen(ledger, elsewhere, "a", 0.9)[0] > 0.6
    assert _foreseen(ledger, elsewhere, "a", 0.1)[0] < 0.4
    restored = Ledger()
    restored.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    assert _foreseen(restored, elsewhere, "a", 0.9) == _foreseen(ledger, elsewhere, "a", 0.9)


def test_kinds_of_slots_are_told_apart(make_entry: Make, make_spec: Make) -> None:
    ledger = Ledger()
    for number in range(20):
        kind = (SlotKind.DENSE, SlotKind.SEQUENCE)[number % 2]
        reward = 1.0 if kind is SlotKind.DENSE else -1.0
        context = _context(number / 20)
        ledger.record(make_entry(str(number), slot_kind=kind, reward=reward, context=context))
    assert _foreseen(ledger, make_spec(kind=SlotKind.DENSE), "a", 0.5)[0] > 0.6
    assert _foreseen(ledger, make_spec(kind=SlotKind.SEQUENCE), "a", 0.5)[0] < 0.4


def test_only_the_latest_trials_of_other_runs_are_kept(make_entry: Make) -> None:
    ledger = Ledger()
    entries = [
        make_entry(str(number), reward=0.5, context=_context(0.5)) for number in range(MOST_TRIALS)
    ]
    first = make_entry("first", reward=0.25, context=_context(0.5))
    ledger.warm_start([first, *entries], "mine")
    kept = ledger.state_dict()["former"]
    assert len(kept) == MOST_TRIALS
    assert {reward for *_, reward, _ in kept} == {0.5}


def test_scores_are_draws_around_what_is_foreseen(make_arm: Make) -> None:
    arm, rng = make_arm(0, predicted=0.4, uncertainty=0.25), Random(1)
    draws = [Neural().scores([arm], Context(noise=0.2), rng)[0] for _ in range(4000)]
    assert fmean(draws) == pytest.approx(0.4, abs=0.01)
    assert stdev(draws) == pytest.approx(0.2 * 0.5, rel=0.05)
