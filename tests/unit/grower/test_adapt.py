"""A chosen plan is applied whole or refused, and the slot rests after a change."""

import pytest

from esper.attribution.options import METHODS, Attribution
from esper.attribution.trials import Trials
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.event import KernelBuilt, LifecycleMove
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.grower.adapt import Adapter
from esper.grower.candidates import Chosen
from esper.grower.review import culls_instead
from esper.growth.host import Host
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from tests.unit.growth.builders import germination, grow, kernels_for, make_host, make_metrics

_S = SeedStage
COOLDOWN_EPOCHS = 5


def adapter_of(host: Host, method: str = "muting") -> Adapter:
    trials = Trials(host, Attribution(method=method))
    return Adapter(trials, KernelPipeline(Kernels(), 0), COOLDOWN_EPOCHS)


def chosen(host: Host, plan: Plan) -> Chosen:
    contexts = {name: () for _, name in plan.germinations}
    return Chosen(plan, kernels_for(host, plan), (), ranking_ms=0.0, contexts=contexts)


DECISION = Decision(kind=DecisionKind.ADAPT, slot="block1", reason="a test wants it")


def verdict(action: Action) -> Plan:
    changes = (SeedChange(action=action, seed=0),)
    return Plan(slot="block1", kind="verdict", changes=changes, reasoning="a test wants it")


@pytest.mark.parametrize("method", METHODS)
def test_a_germination_opens_a_trial_and_lets_the_slot_rest(method: str) -> None:
    host = make_host("mlp")
    adapter, plan = adapter_of(host, method), germination("block1", 0, "mlp")
    adapted = adapter.adapt(chosen(host, plan), DECISION, make_metrics(4))

    built, *moves = adapted.events
    assert isinstance(built, KernelBuilt)
    assert built.error is None
    assert [move.to_stage for move in moves if isinstance(move, LifecycleMove)] == [
        _S.GERMINATED, _S.TRAINING,
    ]  # fmt: skip
    assert adapted.applied is not None
    assert [(each.slot, each.seed) for each in adapted.applied.built] == [("block1", 0)]
    (trial,) = adapter.trials.open
    assert (trial.twin is not None) is (method == "twin")
    assert host.slots["block1"].rests_until == 4 + COOLDOWN_EPOCHS


@pytest.mark.parametrize(("action", "rests_until"), [(Action.CULL, 9 + 5), (Action.FOSSILIZE, 0)])
def test_only_a_verdict_to_keep_gives_the_slot_no_rest(action: Action, rests_until: int) -> None:
    host = make_host("mlp")
    grow(host, "block1")
    host.blend("block1", 0, 1.0, None, "")
    for stage in (_S.SHADOWING, _S.PROBATIONARY):
        host.advance("block1", 0, stage, None, "")
    plan = chosen(host, verdict(action))
    adapted = adapter_of(host).adapt(plan, DECISION, make_metrics(9))
    assert adapted.applied is not None
    assert host.slots["block1"].rests_until == rests_until


def test_a_plan_that_the_lifecycle_forbids_is_refused_and_changes_nothing() -> None:
    host = make_host("mlp")
    adapter = adapter_of(host)
    plan = chosen(host, verdict(Action.FOSSILIZE))
    adapted = adapter.adapt(plan, DECISION, make_metrics(9))
    (refusal,) = adapted.events
    assert adapted.applied is None
    assert refusal.rule == "applicable"
    assert "DORMANT -> FOSSILIZED" in refusal.reason
    assert (adapter.trials.open, host.slots["block1"].rests_until) == ([], 0)
    assert host.seed("block1", 0).stage is _S.DORMANT


def test_only_the_replacement_of_a_named_seed_leaves_a_cull() -> None:
    named = Decision(
        kind=DecisionKind.ADAPT,
        adaptation=Adaptation.REPLACE,
        slot="block1",
        seed=2,
        reason="gain -0.1 <= 0 at age 4",
        confidence=0.9,
        risk=0.5,
    )
    (cull,) = culls_instead(named)
    assert (cull.kind, cull.slot, cull.seed) == (DecisionKind.CULL, "block1", 2)
    assert (cull.adaptation, cull.risk, cull.confidence) == (None, 0.0, 0.9)
    assert cull.reason == "cannot be replaced: gain -0.1 <= 0 at age 4"
    assert culls_instead(DECISION) == []
    assert culls_instead(cull) == []
