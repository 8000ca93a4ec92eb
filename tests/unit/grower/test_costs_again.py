"""What a kernel may cost that blends again."""

import pytest

from esper.growth.host import Host
from tests.unit.grower.paid import (
    EPOCHS,
    costs_of,
    paid_host,
)
from tests.unit.growth.builders import grow


@pytest.fixture
def host() -> Host:
    return paid_host()


@pytest.mark.parametrize(
    ("aged_from", "trained", "whole"),
    [
        # Of age 1 at epoch 10, before its second blending: an epoch, 2 with half of the steps, the
        # gate, and the look at age 4.
        (9, 3 * 100 * 2, 50 * 2 + 50),
        # Of age 4, at its first look: 3 epochs with half of the steps, and the look at age 7.
        (6, 3 * 100 * 1.5, 50 * 2),
        # Of age 7, at its last look.
        (3, 0, 0),
    ],
)
def test_a_kernel_that_blends_again_has_looks_at_ages_4_and_7(
    host: Host, aged_from: int, trained: float, whole: float
) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    activation = host.seed("0", 0).activation
    activation.aged_from, activation.germinated_epoch = aged_from, 1
    settled = 50 if whole else 0
    room = (3600 - whole - settled) * network - (trained + whole) * activation.flops
    room = room - 400 * network - 250 * activation.flops
    assert costs_of(host).affordable_flops(10, 3) == pytest.approx(room / (1150 + whole))


def test_a_kernel_blends_again_if_a_look_comes_before_the_last_quarter(host: Host) -> None:
    # The look at age 4 is 3 epochs later; the last quarter begins at epoch 30.
    costs = costs_of(host)
    assert [costs.may_blend_again(epoch) for epoch in (1, 27, 28, 39)] == [True, True, False, False]


@pytest.mark.parametrize(("share", "is_paid"), [(1.01, True), (0.99, False)])
def test_a_kernel_blends_again_if_the_run_can_pay_until_its_next_look(
    host: Host, share: float, is_paid: bool
) -> None:
    lives = []
    for index in (0, 1):
        grow(host, "0", index, "mlp")
        life = host.seed("0", index).activation
        life.aged_from, life.event = 4, 0
        lives.append(life)
    flops, network = life.flops, host.settled_flops
    # An epoch and 2 with half of the steps, the gate, and a look with 1 evaluation for one kernel.
    needed = 3 * 100 * 2 * flops + 50 * 2 * (network + flops)
    costs = costs_of(host, max_cost=1 + share * needed / (300 * EPOCHS * network))
    assert costs.can_blend_again(lives[:1], lives[1:], 10) is is_paid
    assert not costs.can_blend_again(lives, [], 10), "two of them cost more"
    assert [life.aged_from for life in lives] == [4, 4], "nothing has happened yet"


def test_a_kernel_that_leaves_or_joins_the_network_makes_room(host: Host) -> None:
    network = host.settled_flops
    grow(host, "0", 0, "mlp")
    life = host.seed("0", 0).activation
    costs = costs_of(host)
    without = costs.affordable_flops(10, 3, without=[life])
    assert without == pytest.approx(3200 / 1150 * network)
    # The run of a larger network may cost 1.3 times as much; 10 epochs of the smaller are spent.
    larger = network + life.flops
    room = (1.3 * 40 - 30) * 300 * larger - 10 * 300 * network - 400 * larger
    assert costs.affordable_flops(10, 3, kept=[life]) == pytest.approx(room / 1150)
