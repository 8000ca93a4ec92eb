"""What another trial may cost: budgets computed by hand."""

import json
import math
from typing import Any

import pytest
import torch

from esper.contracts.slot import Look
from esper.grower.costs import Spent
from esper.growth.host import Host
from tests.unit.grower.paid import (
    EPOCHS,
    MANY_STEPS,
    SCORED,
    TRAINED,
    costs_of,
    made,
    paid_host,
)
from tests.unit.growth.builders import batches, grow, make_host, train


@pytest.fixture
def host() -> Host:
    return paid_host()


# With S, the FLOPs a sample of the settled network, an epoch costs 3 * 100 * S = 300 S.
#
# Without trials 1.3 * 40 * 300 - 10 * 300 - 30 * 300 = 3600 are left at epoch 10.
#
# Three kernels may germinate in a slot.  Their first look is at age 4, after 2 whole epochs and 2
# with half of the steps: 3 * 100 * (2 + 2 / 2) k = 900 k for k FLOPs.  The gate of blending
# evaluates the whole network once.  A look evaluates it whole, without each of three kernels and
# with each alone: 4 times S + k at most, and 3 times S, where k has its room before.
# With 50 samples: whole 50 * (4 + 1) = 250, settled 50 * 3 = 150.
# The trial costs 400 S and (900 + 250) k until then.
@pytest.mark.parametrize(
    ("changes", "epoch", "affordable"),
    [
        # 3600 - 400 = 3200
        ({}, 10, 3200 / 1150),
        # 2 * 40 * 300 - 12000 - 400 = 11600
        ({"max_cost": 2.0}, 10, 11600 / 1150),
        # 1.0 leaves nothing, and less than the look costs.
        ({"max_cost": 1.0}, 10, -400 / 1150),
        # Trials have cost another 5 epochs.
        ({"spent_epochs": 15.0}, 10, 1700 / 1150),
        ({"spent_epochs": 23.0}, 10, -700 / 1150),
        # Only a quarter of the steps leaves it out: 3 * 100 * (2 + 2 * 3 / 4) + 250.
        ({"mute_probability": 0.25}, 10, 3200 / 1300),
        # The first look at age 5: 3 * 100 * (2 + 3 / 2) + 250.
        ({"looks": (5, 9)}, 10, 3200 / 1300),
        # No step leaves a kernel out for ablation: 3 * 100 * 4 + 250.
        ({"method": "ablation"}, 10, 3200 / 1450),
        # A twin trains for 4 epochs, 1200 S, and is evaluated at the look and an epoch before,
        # where the network is too: whole 50 * (5 + 1), settled 50 * 5; the limit is 2:
        # 12000 - 300 - 250 - 1200, and 3 * 100 * 4 + 300.
        ({"method": "twin"}, 10, 10250 / 1500),
    ],
)
def test_the_budget_of_a_trial_is_what_the_run_leaves(
    host: Host, changes: dict[str, Any], epoch: int, affordable: float
) -> None:
    costs = costs_of(host, **changes)
    assert costs.affordable_flops(epoch, 3) == pytest.approx(affordable * host.settled_flops)


# One kernel alone is the whole network, and of two each is without the other: a look costs 1 and 3
# evaluations, and nothing beside.  One must fit until its last look: 3 * 100 * (2 + 7 / 2) k and
# three looks.
@pytest.mark.parametrize(("number", "affordable"), [(1, 3400 / 1850), (2, 3400 / 1100)])
def test_a_trial_of_few_kernels_leaves_them_more(
    host: Host, number: int, affordable: float
) -> None:
    found = costs_of(host).affordable_flops(10, number)
    assert found == pytest.approx(affordable * host.settled_flops)


def test_batch_statistics_are_computed_anew_for_each_evaluation() -> None:
    host = make_host("batch_norm")
    host.steps_per_epoch = MANY_STEPS
    # From 8 batches of 7, 56 samples, also once an epoch for the settled network: whole
    # 106 * (4 + 1), settled 106 * 3 + 56 * 4, and 3600 - 530 - 542.
    expected = 2528 / (900 + 530) * host.settled_flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("aged_from", "trained", "whole", "settled"),
    [
        # Of age 3 at epoch 10: an epoch with half of the steps, a look of two whole networks.
        (7, 3 * 100 / 2, 50 * 2, 50),
        # Of age 4, at a look: 2 epochs and the look at age 6.
        (6, 3 * 100, 50 * 2, 50),
        # Of age 6: 3 epochs and the look at age 9.
        (4, 3 * 100 * 1.5, 50 * 2, 50),
        # Of age 9, at its last look.
        (1, 0, 0, 0),
    ],
)
def test_open_trials_are_paid_for_until_their_next_looks(
    host: Host, aged_from: int, trained: float, whole: float, settled: float
) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    activation = host.seed("0", 0).activation
    activation.aged_from = activation.germinated_epoch = aged_from
    assert host.settled_flops == network
    room = (3600 - whole - settled) * network - (trained + whole) * activation.flops
    # The look at the further trial evaluates this kernel too.
    room = room - 400 * network - 250 * activation.flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(room / (1150 + whole))


@pytest.mark.parametrize(("events", "whole"), [((0, 0), 50 * 3), ((0, 1), 2 * 50 * 2)])
def test_kernels_of_one_event_share_the_evaluation_of_the_whole_network(
    host: Host, events: tuple[int, int], whole: float
) -> None:
    network = host.settled_flops
    flops = 0.0
    for index, event in enumerate(events):
        grow(host, "0", index, "mlp")
        activation = host.seed("0", index).activation
        activation.aged_from = activation.germinated_epoch = 7
        activation.event = event
        flops += activation.flops
    room = (3600 - whole - 50 * 2) * network - (150 + whole) * flops
    room = room - 400 * network - 250 * flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(room / (1150 + whole))


def test_an_open_twin_trains_until_its_next_look(host: Host) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    activation = host.seed("0", 0).activation
    activation.aged_from = activation.germinated_epoch = 7
    # Of age 3: an epoch of the kernel and of the twin, and a look.
    whole, settled = 50 * 3, 50 * 3 + 3 * 100
    room = (12000 - whole - settled) * network - (3 * 100 + whole) * activation.flops
    # The new twin has this kernel too, 4 epochs and 2 evaluations, and this twin gets the new ones.
    room = room - 1750 * network - (300 + 3 * 400 + 2 * 50) * activation.flops
    costs = costs_of(host, method="twin")
    new = 1500 + whole + 3 * 100 + 2 * 50
    assert costs.affordable_flops(10, 3) == pytest.approx(room / new)


def test_a_trial_that_showed_a_gain_is_paid_for_until_its_last_look(host: Host) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    activation = host.seed("0", 0).activation
    activation.aged_from = activation.germinated_epoch = 6
    activation.gain = 0.01
    activation.look = Look(epoch=10, age=4, is_last=False, bar=0.1)
    # Of age 4: 5 epochs with half of the steps, and the looks at ages 6 and 9.
    whole, settled, trained = 50 * 2 * 2, 50 * 2, 3 * 100 * 5 / 2
    room = (3600 - whole - settled) * network - (trained + whole) * activation.flops
    room = room - 400 * network - 250 * activation.flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(room / (1150 + whole))


def test_few_coins_may_mute_less_than_expected(host: Host) -> None:
    # 2 epochs of 8 steps on trial: 0.5 - 2 * sqrt(0.25 / 16) = 0.25 of them are muted for certain.
    host.steps_per_epoch = 8
    expected = 3200 / (3 * 100 * (2 + 2 * 0.75) + 250) * host.settled_flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kept", "share", "ended"), [(2, 1.01, []), (2, 0.99, [1]), (1, 1.01, [1]), (1, 0.99, [1, 0])]
)
def test_a_look_that_leaves_no_room_until_the_next_is_the_last_of_the_least_gain(
    host: Host, kept: int, share: float, ended: list[int]
) -> None:
    network = host.settled_flops
    lives = []
    for index, gain in enumerate((0.02, 0.01)):
        grow(host, "0", index, "mlp")
        life = host.seed("0", index).activation
        life.aged_from = life.germinated_epoch = 6
        life.event, life.gain, life.gain_error = 0, gain, 0.1
        life.look = Look(epoch=10, age=4, is_last=False, bar=0.17 * math.sqrt(3), shown=0.5)
        lives.append(life)
    flops = life.flops
    # Until age 6: 2 epochs with half of the steps, and a look with 3 evaluations, or 1 for one.
    needed = 3 * 100 * kept * flops + 50 * (2 * kept - 1) * (network + kept * flops)
    costs = costs_of(host, max_cost=1 + share * needed / (300 * EPOCHS * network))
    costs.mark_last_looks(11)
    assert not any(life.look.is_last for life in lives), "no look was taken at epoch 11"
    costs.mark_last_looks(10)
    for index, life in enumerate(lives):
        assert life.look.is_last == life.look.is_unpaid == (index in ended)
        factor = 1.0 if index in ended else math.sqrt(3)
        assert life.look.bar == pytest.approx(0.17 * factor), "the last look has the lower bar"


def test_a_trial_that_ends_anyway_needs_no_room(host: Host) -> None:
    for index, gain in enumerate((0.02, -0.01)):
        grow(host, "0", index, "mlp")
        life = host.seed("0", index).activation
        life.aged_from = life.germinated_epoch = 6
        life.event, life.gain = 0, gain
        life.look = Look(epoch=10, age=4, is_last=False, bar=0.1)
    flops, network = life.flops, host.settled_flops
    needed = 3 * 100 * flops + 50 * (network + flops)
    costs_of(host, max_cost=1 + 1.01 * needed / (300 * EPOCHS * network)).mark_last_looks(10)
    looks = [host.seed("0", index).activation.look for index in (0, 1)]
    assert [look is not None and look.is_last for look in looks] == [False, False]


def test_epochs_add_up_and_survive_a_save(host: Host) -> None:
    costs = costs_of(host)
    costs.add(costs.begin_epoch(TRAINED), SCORED)
    again = made(host)
    again.load_state_dict(json.loads(json.dumps(costs.state_dict())))
    spent = Spent(3300 * host.settled_flops, 2, 2 * TRAINED, TRAINED, SCORED)
    assert again.spent == costs.spent == spent
    # 11 epochs are paid and 29 remain, which is as much as before.
    assert again.affordable_flops(11, 3) == pytest.approx(3200 / 1150 * host.settled_flops)


def test_an_epoch_costs_three_passes_of_all_its_samples(host: Host) -> None:
    bare = host.settled_flops
    costs = made(host)
    assert costs.begin_epoch(100) == 300 * bare
    grow(host, "0", 0, "mlp")
    kernel = host.seed("0", 0).activation.flops
    assert kernel > 0
    assert costs.begin_epoch(50) == 150 * (bare + kernel)
    assert costs.spent == Spent(0.0, 2, 150, 50, 0), "nothing is paid yet"
    assert costs.plain_flops == 3 * bare * 75 * EPOCHS


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
    train(host.model, host.optimizer, steps=2)
    again = made(make_host("sequential", ["0", "1"]))
    again.load_state_dict(json.loads(json.dumps(costs.state_dict())))
    again.host.model.train()(torch.zeros(3, 4))
    train(again.host.model, again.host.optimizer, steps=2)
    assert again.batch_size.value == 6
    assert not again.host.model._forward_pre_hooks
