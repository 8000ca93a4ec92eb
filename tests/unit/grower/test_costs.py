"""What another trial may cost: budgets computed by hand, and kept by real runs."""

import json
import re
from typing import Any

import pytest
import torch

from esper.attribution.options import Attribution
from esper.contracts.event import EventKind
from esper.contracts.stage import SeedStage
from esper.grower.costs import Costs, Spent
from esper.growth.host import Host
from esper.policy.schedule import Schedule
from esper.safety.options import Safety
from esper.strategy.viability import Viability
from tests.unit.growth.builders import batches, grow, make_host, train
from tests.unit.scripted import Run, adapt, go, make_grower, script

EPOCHS = 40
TRAINED, SCORED = 100, 50
"""Samples of an epoch of training and of an evaluation."""
BATCH = 7
"""Samples of the example."""


def costs_of(
    host: Host, spent_epochs: float = 10, max_cost: float | None = None, **attribution: Any
) -> Costs:
    """Return the costs of a run that has trained the settled network for some epochs."""
    costs = made(host, max_cost, **attribution)
    costs.begin_epoch(TRAINED)
    costs.add(spent_epochs * 3 * TRAINED * host.settled_flops, SCORED)
    return costs


def made(host: Host, max_cost: float | None = None, **attribution: Any) -> Costs:
    return Costs(host, Attribution(**attribution), Safety(max_cost=max_cost), EPOCHS, BATCH)


@pytest.fixture
def host() -> Host:
    return make_host("sequential", ["0", "1"])


# With S, the FLOPs a sample of the settled network, an epoch costs 3 * 100 * S = 300 S.
#
# Three kernels may germinate in a slot.  Their trial from epoch 10 on ends at age 9, after 2 whole
# epochs and 7 with half of the steps: 3 * 100 * (2 + 7 / 2) k = 1650 k for k FLOPs.  The gate of
# blending evaluates the whole network once.  A look evaluates it whole, without each of three
# kernels and with each alone: 4 times S + k at most, and 3 times S, where k has its room before.
# With 50 samples: whole 50 * (3 * 4 + 1) = 650, settled 50 * 3 * 3 = 450.
# The trial costs 1100 S and (1650 + 650) k.
@pytest.mark.parametrize(
    ("changes", "epoch", "affordable"),
    [
        # 1.3 * 40 * 300 - 10 * 300 - 30 * 300 - 1100 = 2500
        ({}, 10, 2500 / 2300),
        # 2 * 40 * 300 - 12000 - 1100 = 10900
        ({"max_cost": 2.0}, 10, 10900 / 2300),
        # 1.0 leaves nothing, and less than the looks cost.
        ({"max_cost": 1.0}, 10, -1100 / 2300),
        # Trials have cost another 5 epochs.
        ({"spent_epochs": 15.0}, 10, 1000 / 2300),
        # Only a quarter of the steps leaves it out: 3 * 100 * (2 + 7 * 3 / 4) + 650.
        ({"mute_probability": 0.25}, 10, 2500 / 2825),
        # One look at age 4: whole 50 * 5, settled 50 * 3, and 3 * 100 * (2 + 2 / 2).
        ({"looks": (4,)}, 10, 3200 / 1150),
        # After epoch 34 the last of 2 looks is at age 5, an epoch before the end: whole 50 * 9,
        # settled 50 * 6, and 3 * 100 * (2 + 3 / 2).
        ({"spent_epochs": 34.0}, 34, 2850 / 1500),
        # No step leaves a kernel out for ablation: 3 * 100 * 9 + 650.
        ({"method": "ablation"}, 10, 2500 / 3350),
        # A twin trains for 6 epochs, 1800 S, and is evaluated at 2 looks and an epoch before each,
        # where the network is too: whole 50 * (2 * 5 + 1), settled 50 * 2 * 5; the limit is 2:
        # 24000 - 12000 - 550 - 500 - 1800, and 3 * 100 * 6 + 550.
        ({"method": "twin"}, 10, 9150 / 2350),
    ],
)
def test_the_budget_of_a_trial_is_what_the_run_leaves(
    host: Host, changes: dict[str, Any], epoch: int, affordable: float
) -> None:
    costs = costs_of(host, **changes)
    assert costs.affordable_flops(epoch, 3) == pytest.approx(affordable * host.settled_flops)


def test_a_trial_of_one_kernel_leaves_it_more(host: Host) -> None:
    # whole 50 * (3 * 2 + 1), settled 50 * 3
    expected = 3100 / 2000 * host.settled_flops
    assert costs_of(host).affordable_flops(10) == pytest.approx(expected)


def test_batch_statistics_are_computed_anew_for_each_evaluation() -> None:
    host = make_host("batch_norm")
    # From 8 batches of 7, 56 samples, also once an epoch for the settled network: whole
    # 106 * (3 * 4 + 1), settled 106 * 3 * 3 + 56 * 9, and 3600 - 1378 - 1458.
    expected = 764 / (1650 + 1378) * host.settled_flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("aged_from", "trained", "whole", "settled"),
    [
        # Of age 3 at epoch 10: 6 epochs with half of the steps, 3 looks of two whole networks.
        (7, 3 * 100 * 3, 50 * 3 * 2, 50 * 3),
        # Of age 6: 3 epochs and the look at age 9.
        (4, 3 * 100 * 1.5, 50 * 2, 50),
        # Of age 9, at its last look.
        (1, 0, 0, 0),
    ],
)
def test_open_trials_are_paid_for_until_their_last_looks(
    host: Host, aged_from: int, trained: float, whole: float, settled: float
) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    activation = host.seed("0", 0).activation
    activation.aged_from = aged_from
    assert host.settled_flops == network
    # The looks at the further trial evaluate this kernel too.
    kernel = (trained + whole + 650) * activation.flops
    room = (2500 - whole - settled) * network - kernel
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(room / (2300 + whole))


@pytest.mark.parametrize(("events", "whole"), [((0, 0), 50 * 3 * 3), ((0, 1), 2 * 50 * 3 * 2)])
def test_kernels_of_one_event_share_the_evaluation_of_the_whole_network(
    host: Host, events: tuple[int, int], whole: float
) -> None:
    network = host.settled_flops
    flops = 0.0
    for index, event in enumerate(events):
        grow(host, "0", index, "mlp")
        activation = host.seed("0", index).activation
        activation.aged_from, activation.event = 7, event
        flops += activation.flops
    room = (2500 - whole - 50 * 3 * 2) * network - (900 + whole + 650) * flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(room / (2300 + whole))


def test_an_open_twin_trains_until_its_last_look(host: Host) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    activation = host.seed("0", 0).activation
    activation.aged_from = 7
    # Of age 3: 3 epochs of the kernel and of the twin, 2 looks.
    whole, settled = 50 * 2 * 3, 50 * 2 * 3 + 3 * 100 * 3
    kernel = (3 * 100 * 3 + whole + 550) * activation.flops
    room = (9150 - whole - settled) * network - kernel
    costs = costs_of(host, method="twin")
    assert costs.affordable_flops(10, 3) == pytest.approx(room / (2350 + whole))


def test_epochs_add_up_and_survive_a_save(host: Host) -> None:
    costs = costs_of(host)
    costs.add(costs.begin_epoch(TRAINED), SCORED)
    again = made(host)
    again.load_state_dict(json.loads(json.dumps(costs.state_dict())))
    assert again.spent == costs.spent == Spent(3300 * host.settled_flops, TRAINED, SCORED)
    # 11 epochs are paid and 29 remain, which is as much as before.
    assert again.affordable_flops(11, 3) == pytest.approx(2500 / 2300 * host.settled_flops)


def test_an_epoch_costs_three_passes_of_all_its_samples(host: Host) -> None:
    bare = host.settled_flops
    costs = made(host)
    assert costs.begin_epoch(100) == 300 * bare
    grow(host, "0", 0, "mlp")
    kernel = host.seed("0", 0).activation.flops
    assert kernel > 0
    assert costs.begin_epoch(50) == 150 * (bare + kernel)
    assert costs.spent == Spent(0.0, 50, 0), "nothing is paid yet"
    assert costs.plain_flops == 3 * bare * 50 * EPOCHS


@pytest.mark.parametrize("steps", [1, 4])
def test_samples_that_nobody_counts_are_those_of_the_steps(host: Host, steps: int) -> None:
    costs = made(host)
    assert costs.begin_epoch(None) == 0.0, "no step was made"
    host.model.eval()(batches()[0][0][:2])
    # Batches of 6, unlike the example.
    train(host.model, host.optimizer, steps=steps)
    host.model(torch.zeros(3, 4))
    assert costs.begin_epoch(None) == 3 * host.flops * 6 * steps
    assert costs.spent.num_samples == 6 * steps
    assert costs.begin_epoch(100) == 3 * host.flops * 100


def test_the_size_of_the_batches_survives_a_save(host: Host) -> None:
    costs = made(host)
    train(host.model, host.optimizer, steps=1)
    again = made(make_host("sequential", ["0", "1"]))
    again.load_state_dict(json.loads(json.dumps(costs.state_dict())))
    train(again.host.model, again.host.optimizer, steps=2)
    again.host.model.train()(torch.zeros(3, 4))
    assert again.batch_size.value == 6


def run_of(max_cost: float, **options: Any) -> Run:
    return go(
        policy=Schedule(fractions=tuple(e / 14 for e in range(1, 9)), price=0.0),
        safety=Safety(max_cost=max_cost),
        viability=Viability(min_dormant_epochs=0, max_concurrent_seeds=4),
        **options,
    )


def cost(run: Run) -> float:
    """Return what a run has cost, relative to its final network trained for all epochs."""
    return sum(report.flops for report in run.reports) / (3 * run.grower.host.flops * 48 * 14)


def germinations(run: Run) -> int:
    moves = run.told.of(EventKind.LIFECYCLE)
    return sum(move.to_stage is SeedStage.GERMINATED for move in moves)


@pytest.mark.parametrize(("method", "tight"), [("muting", 1.5), ("ablation", 1.5), ("twin", 2.5)])
def test_no_run_costs_more_than_it_may(method: str, tight: float) -> None:
    attribution = Attribution(method=method)
    strict, lavish = (run_of(most, attribution=attribution) for most in (tight, 20.0))
    assert 0 < germinations(strict) < germinations(lavish)
    assert cost(strict) <= tight < cost(lavish)


def test_a_policy_waits_while_no_trial_is_affordable() -> None:
    run = run_of(1.0)
    assert germinations(run) == 0
    assert all(report.observation.affordable_flops < 0 for report in run.reports[:9])
    said = {decision.reason for decision in run.told.of(EventKind.DECISION)}
    assert "another trial would cost more than safety.max_cost allows" in said
    assert not run.told.of(EventKind.SAFETY)
    assert cost(run) == 1.0


def max_cost_for(host: Host, flops: float, num_kernels: int) -> float:
    """Return the limit that leaves room for a trial of kernels of some FLOPs a sample."""
    whole, settled = 40 * (3 * (1 + num_kernels) + 1), 40 * 3 * num_kernels
    trained = 3 * 48 * (2 + 7 / 2)
    room = (whole + settled) * host.settled_flops + flops * (trained + whole)
    return 1 + room / (3 * 14 * 48 * host.settled_flops)


def test_a_kernel_beyond_the_budget_is_not_offered() -> None:
    def of(max_cost: float) -> Run:
        options = {"blueprint": ("mlp",), "slots": ("0",), "steps": 2}
        return go(policy=script(e2=[adapt("0", 1)]), safety=Safety(max_cost=max_cost), **options)

    (kernel,) = of(99.0).told.of(EventKind.KERNEL)
    host = make_grower(slots=("0",))[0].host
    assert germinations(of(max_cost_for(host, 1.01 * kernel.flops, 1))) == 1
    short = of(max_cost_for(host, 0.99 * kernel.flops, 1))
    assert germinations(short) == 0
    (refusal,) = short.told.of(EventKind.SAFETY)
    assert refusal.rule == "budget"
    assert re.search(
        r"blueprint 'mlp' in slot '0' does not fit: .* that safety.max_cost=1\.\d+ leaves",
        refusal.reason,
    )
    assert not short.told.of(EventKind.KERNEL)


def test_a_plan_beyond_the_budget_gets_no_seed_and_says_why() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), safety=Safety(max_cost=1.0), steps=3)
    assert germinations(run) == 0
    (selection,) = run.told.of(EventKind.SELECTION)
    assert selection.seed is None
    assert "that may be added" in selection.reason


def test_of_kernels_that_fit_one_by_one_as_many_grow_as_fit_together() -> None:
    def of(max_cost: float) -> Run:
        options = {"blueprint": ("mlp", "affine"), "num_seeds": 2, "slots": ("0",), "steps": 2}
        policy, safety = script(e2=[adapt("0", 2)]), Safety(max_cost=max_cost)
        return go(policy=policy, orchestrator="diversify", safety=safety, **options)

    both = of(99.0)
    built = both.told.of(EventKind.KERNEL)
    assert len(built) == 2
    now, flops = both.grower.host, sum(each.flops for each in built)
    assert germinations(of(max_cost_for(now, 1.01 * flops, 2))) == 2
    one = of(max_cost_for(now, 0.99 * flops, 2))
    assert germinations(one) == 1
    assert not one.told.of(EventKind.SAFETY)
    reasons = [each.reason for each in one.told.of(EventKind.SELECTION) if each.seed is None]
    assert len(reasons) == 1
    assert "that may be added" in reasons[0]
