"""What the store keeps of a germination: its features, and the context that its strategy read."""

import json
from typing import Any

from esper.checkpoint.tree import join, split
from esper.contracts.decision import DecisionKind
from esper.contracts.ledger import LedgerEntry
from esper.grower.grower import Grower
from esper.signals.gain_features import FEATURES
from esper.strategy.fixed import Fixed
from esper.strategy.linucb import LinUCB
from tests.unit.grower.test_checkups import classes
from tests.unit.scripted import adapt, losses, make_grower, script, train, verdict

CULL = [verdict(DecisionKind.CULL, "0", seed) for seed in (1, 2)]
POLICY = script(e2=[adapt("0", 2)], e4=CULL)
READS: dict[str, Any] = {"policy": POLICY, "strategy": LinUCB(reads_health=True)}


def after(grower: Grower, num_epochs: int) -> Grower:
    for _ in range(num_epochs):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses, probe=classes, loss=lambda model: classes(model).mean())
    return grower


def saved(grower: Grower) -> dict[str, Any]:
    """Return the state as a checkpoint holds it."""
    plain, tensors = split(grower.state_dict())
    return join(json.loads(json.dumps(plain)), tensors)


def named(entry: LedgerEntry) -> list[str]:
    """Return the blueprints that the features of an entry name."""
    values = dict(zip(FEATURES, entry.features, strict=True))
    return [name for name in ("mlp", "gated_mlp", "affine", "lora") if values[name]]


def test_each_of_two_kernels_at_once_keeps_its_own_features_also_after_a_resume() -> None:
    first = after(make_grower(**READS)[0], 3)
    grower, _ = make_grower(**READS)
    grower.load_state_dict(saved(first))
    entries = after(grower, 1).ledger.entries_of_run()
    assert len({entry.blueprint for entry in entries}) == 2
    for entry in entries:
        assert named(entry) == [entry.blueprint]
        assert entry.shown == 0.25
    again, _ = make_grower(**READS)
    again.load_state_dict(saved(grower))
    assert again.ledger.entries_of_run() == entries
    assert again.settler.outcomes == grower.settler.outcomes


def test_the_context_of_each_kernel_tells_what_its_health_promises() -> None:
    one, other = after(make_grower(**READS)[0], 4).ledger.entries_of_run()
    assert len(one.context) == 7
    assert one.context[:6] == other.context[:6]
    assert one.context[6] != other.context[6]
    assert all(0 < number < 1 for number in one.context[4:])


def test_a_strategy_that_reads_no_health_costs_no_probe() -> None:
    entries = after(make_grower(policy=POLICY, strategy=LinUCB())[0], 4).ledger.entries_of_run()
    assert {entry.features for entry in entries} == {()}
    assert {len(entry.context) for entry in entries} == {4}


def test_health_for_the_strategy_leaves_the_scores_of_the_policy_alone() -> None:
    """The same seeds are chosen, by a strategy that is told more and does not listen."""

    class Told(Fixed):
        reads_health = True

    scores = []
    for strategy in (Fixed(), Told()):
        grower, _ = make_grower(policy=script(), strategy=strategy)
        train(grower.host.model, grower.host.optimizer)
        report = grower.step(losses, probe=classes, loss=lambda model: classes(model).mean())
        scores.append([slot.score for slot in report.observation.slots])
        assert all(
            (slot.health is None) is (strategy.name != "fixed" or type(strategy) is Fixed)
            for slot in report.observation.slots
        )
    assert scores[0] == scores[1]
    assert None not in scores[0]
