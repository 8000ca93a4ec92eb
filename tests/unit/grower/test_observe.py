"""What the policy sees: how long seeds may germinate, what is affordable, what slots promise."""

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.attribution.options import Attribution
from esper.attribution.trials import Trials
from esper.grower.costs import Costs
from esper.grower.observe import Observer
from esper.grower.prospects import Prospects
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.policy.never import Never, NeverPolicy
from esper.policy.rules.verdict import VerdictRules
from esper.safety.options import GovernorOptions, Safety
from esper.safety.rollback import Governor
from esper.signals.options import Signals
from esper.strategy.ledger import Ledger
from tests.unit.growth.builders import germination, grow, kernels_for, make_metrics
from tests.unit.scripted import losses, make_grower, same_weights

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(4))


def loss(model: nn.Module) -> Tensor:
    return model(X).square().mean()


def observer_of(epochs: int = 14, max_events: int | None = None, **attribution: Any) -> Observer:
    """Return the observer of a network with two slots, whose epochs have 100 samples."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)])
    setup = HostSetup(slots=("0", "1"), placement="parallel", selection=("mlp", "affine"))
    host = prepare(model, SGD(model.parameters(), lr=0.1), X, setup)
    method = Attribution(**attribution)
    safety = Safety(max_cost=9.0, max_events=max_events)
    costs = Costs(host, method, safety, epochs, len(X))
    costs.begin_epoch(100)
    governor = Governor(Trials(host, method), GovernorOptions(), None)
    prospects = Prospects(costs, KernelPipeline(Kernels(), 0), Ledger(), VerdictRules())
    return Observer(costs, governor, prospects, Signals(), safety)


@pytest.mark.parametrize(
    ("epochs", "options", "last"),
    [
        # The first look is at age 4, and an epoch follows it.
        (14, {}, 9),
        (6, {}, 1),
        (5, {}, 0),
        (1, {}, 0),
        (14, {"looks": (6, 9)}, 7),
        (14, {"method": "twin"}, 9),
    ],
)
def test_a_seed_may_germinate_while_a_look_and_an_epoch_are_left(
    epochs: int, options: dict[str, Any], last: int
) -> None:
    observer = observer_of(epochs, **options)
    may_grow = [epoch for epoch in range(epochs + 2) if observer.may_grow(epoch)]
    assert may_grow == list(range(1, last + 1))


def test_no_seed_germinates_once_the_governor_has_ended_growth() -> None:
    observer = observer_of()
    assert observer.may_grow(3)
    observer.governor.monitor.rollbacks = observer.governor.options.max_rollbacks
    assert observer.governor.has_ended_growth
    assert not observer.may_grow(3)
    seen = observer.observe(make_metrics(3), loss, is_suspect=False)
    assert not seen.may_grow


def test_an_observation_says_what_is_affordable_and_what_each_slot_costs() -> None:
    observer = observer_of()
    host = observer.host
    for is_suspect in (True, False):
        seen = observer.observe(make_metrics(3, 0.75, 0.5), None, is_suspect=is_suspect)
        assert seen.is_suspect is is_suspect
    assert (seen.epoch, seen.epochs, seen.may_grow) == (3, 14, True)
    assert seen.val_losses == (0.75, 0.75)
    assert seen.affordable_flops == observer.costs.affordable_flops(3) > 0
    # With 4 features, an affine kernel is one product, 2 * 4 * 4, and the others are larger.
    assert [slot.least_flops for slot in seen.slots] == [32.0, 32.0]
    for seed in host.slots["1"].seeds:
        seed.bound = "mlp"
    seen = observer.observe(make_metrics(4), None, is_suspect=False)
    mlp = host.request("1", 0, "mlp", 0).cost.flops
    assert mlp > 32
    assert [slot.least_flops for slot in seen.slots] == [32.0, mlp]


def test_an_observation_says_how_many_growth_events_are_left() -> None:
    for most, expected in ((None, [None, None]), (1, [1, 0]), (0, [0, 0])):
        observer = observer_of(max_events=most)
        left = [observer.observe(make_metrics(3), None, is_suspect=False).events_left]
        host = observer.host
        plan = germination("0", 0, "mlp")
        observer.governor.trials.apply(plan, kernels_for(host, plan), make_metrics(3))
        left.append(observer.observe(make_metrics(4), None, is_suspect=False).events_left)
        assert left == expected


def test_a_slot_without_a_dormant_seed_has_no_cost() -> None:
    observer = observer_of()
    for seed in observer.host.slots["1"].seeds:
        grow(observer.host, "1", seed.index, "affine")
    seen = observer.observe(make_metrics(3), None, is_suspect=False)
    assert [slot.least_flops for slot in seen.slots] == [32.0, math.inf]


@pytest.mark.parametrize(("epoch", "is_scored"), [(9, True), (10, False)])
def test_slots_are_ranked_while_a_seed_may_germinate(epoch: int, is_scored: bool) -> None:
    calls = []

    def asked(model: nn.Module) -> Tensor:
        calls.append(epoch)
        return loss(model)

    observer = observer_of()
    seen = observer.observe(make_metrics(epoch), asked, is_suspect=False)
    assert [slot.score is not None for slot in seen.slots] == [is_scored] * 2
    assert len(calls) == is_scored
    assert observer.ranking_ms > 0
    assert observer.probe_ms == 0


def test_losses_and_scores_survive_a_save() -> None:
    observer, again = observer_of(), observer_of()
    seen = [
        observer.observe(make_metrics(epoch, 1 / epoch), loss, is_suspect=False)
        for epoch in (1, 2, 3)
    ]
    again.load_state_dict(json.loads(json.dumps(observer.state_dict())))
    with torch.no_grad():
        for parameter in again.host.model.parameters():
            parameter.mul_(0.5)
    resumed = again.observe(make_metrics(4, 0.25), loss, is_suspect=False)
    assert resumed.val_losses == (1.0, 1 / 2, 1 / 3, 0.25)
    # They were measured at epoch 1, before the weights changed.
    assert [s.score for s in resumed.slots] == [s.score for s in seen[0].slots]
    assert None not in [s.score for s in resumed.slots]


def test_a_kernel_may_blend_again_while_a_look_would_come_in_time() -> None:
    # Of 14 epochs the last quarter begins at 11; the look comes 3 epochs later.
    observer = observer_of()
    seen = [observer.observe(make_metrics(e), None, is_suspect=False) for e in (7, 8, 9)]
    assert [each.may_blend_again for each in seen] == [True, True, False]


def test_what_plans_have_done_is_seen_by_those_that_follow() -> None:
    observer = observer_of()
    seen = observer.observe(make_metrics(3), loss, is_suspect=False)
    grow(observer.host, "0", 0, "mlp")
    now = observer.now(seen)
    assert not seen.slots[0].live
    assert [seed.seed for seed in now.slots[0].live] == [0]
    assert [slot.score for slot in now.slots] == [slot.score for slot in seen.slots] != [None] * 2


def test_an_observation_knows_the_risk_of_each_blueprint() -> None:
    seen = observer_of().observe(make_metrics(3), None, is_suspect=False)
    risks = {seed.bound: seed.risk for slot in seen.slots for seed in slot.seeds}
    assert risks == {"mlp": 0.2, "affine": 0.1}


class Looking(NeverPolicy):
    """Never grows, but reads the health of the slots."""

    reads_health = True


class Look(Never):
    def build(self, rng_seed: int) -> Looking:
        return Looking()


def test_the_data_flow_is_followed_only_for_a_policy_that_reads_health() -> None:
    plain, looking = (
        make_grower(policy=policy, slots=("0", "3"))[0] for policy in (Never(), Look())
    )
    seen = [grower.step(losses, probe=losses).observation for grower in (plain, looking)]
    assert seen[0].data_flow is None
    flow = seen[1].data_flow
    assert flow is not None
    assert flow is looking.host.data_flow
    assert flow.positions == {"0": 0.0, "3": 1.0}
    # GELU lies between the two, and dropout does nothing in eval mode.
    assert [(each.source, each.target, each.operations) for each in flow.edges] == [("0", "3", 1)]
    assert same_weights(plain.host.model, looking.host.model)
