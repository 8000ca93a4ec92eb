"""What became of a seed's activations: counted by the ledger, named by the selector."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from esper.contracts.ledger import SeedHistory
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

Make = Callable[..., Any]


def test_grafts_and_failures_of_a_seed_survive_a_save(make_entry: Make) -> None:
    ledger = Ledger()
    assert ledger.history("block", 1) == SeedHistory()
    for epoch, kept in ((4, False), (12, False), (20, True)):
        ledger.note_activation("block", 1, epoch)
        ledger.record(make_entry(str(epoch), slot="block", seed=1, fossilized=kept))
    ledger.note_activation("block", 1, 30)
    restored = Ledger()
    restored.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    for each in (ledger, restored):
        known = SeedHistory(activations=4, grafts=1, failures=2, activated_epoch=30)
        assert each.history("block", 1) == known


def test_other_runs_are_not_in_the_history_of_a_seed(make_entry: Make) -> None:
    ledger = Ledger()
    ledger.warm_start([make_entry("0", slot="block", seed=1, run="before")], "now")
    assert ledger.history("block", 1) == SeedHistory()


def test_the_reason_names_what_became_of_the_seed_before(make_state: Make, make_plan: Make) -> None:
    ledger = Ledger()
    selector = Selector(UCB(), Viability(), ledger, Random(0))
    inputs = SelectionInputs(state=make_state(1), epoch=30)
    _, (first,) = selector.choose(make_plan(), inputs)
    assert first.reason == "the only viable seed"
    ledger.note_activation("block", 0, 4)
    ledger.note_activation("block", 0, 12)
    _, (third,) = selector.choose(make_plan(), inputs)
    past = "this seed was tried 2 times before (0 failed), last at epoch 12"
    assert third.reason == f"the only viable seed; {past}"
