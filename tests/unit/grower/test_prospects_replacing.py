"""What could replace a kernel, by what is expected of it."""

import pytest

from esper.contracts.slot import Look, SlotState
from esper.contracts.stage import SeedStage
from esper.grower.prospects import rank
from esper.growth.host import Host
from esper.growth.requests import growable_states
from esper.growth.slot import Activation
from esper.kernels.pipeline import build_kernel
from tests.unit.grower.ranked import SEVERAL, Asked, blocks, loss, prospects_of
from tests.unit.growth.builders import grow, same, tensors


def looked_at(
    host: Host, *gains: float, is_last: bool = False, error: float = 0.01
) -> tuple[SlotState, ...]:
    """Grow seeds of slot '0' that are looked at in epoch 1; return the slots."""
    for index, gain in enumerate(gains):
        grow(host, "0", index, SEVERAL[index])
        seed = host.seed("0", index)
        seed.stage, life = SeedStage.PROBATIONARY, seed.activation
        life.gain, life.gain_error = gain, error
        life.look = Look(epoch=1, age=4, is_last=is_last, bar=0.1)
    return growable_states(host, 1)


def test_what_could_replace_a_kernel_is_ranked_by_what_is_expected() -> None:
    host = blocks(2)
    states = looked_at(host, -0.02, 0.06)
    before = tensors(host.model)
    slot, other = prospects_of(host).replacing(states, 1, loss)
    assert other.prospects == ()
    # `affine` and `mlp` are held.  Typical is (-0.02 + 0.06) / 2; the best ranked is expected to
    # bring that, the other one less in proportion.
    names = "lora", "gated_mlp"
    kernels = {("0", i): build_kernel(host.request("0", 0, n, 0)) for i, n in enumerate(names, 9)}
    low, high = sorted(
        (score, kernels[key].blueprint) for key, score in rank(host, kernels, loss).scores.items()
    )
    found = {each.blueprint: each.expected_gain for each in slot.prospects}
    assert [each.blueprint for each in slot.prospects] == [high[1], low[1]]
    assert found == pytest.approx({high[1]: 0.02, low[1]: 0.02 * low[0] / high[0]})
    assert all(each.fits for each in slot.prospects)
    flops = {n: host.request("0", 0, n, 0).cost.flops for n in names}
    added = {each.blueprint: each.added_flops * host.settled_flops for each in slot.prospects}
    assert added == pytest.approx(flops)
    assert {each.blueprint: each.risk for each in slot.prospects} == {"lora": 0.1, "gated_mlp": 0.2}
    assert same(before, tensors(host.model)), "the network is as it was"


@pytest.mark.parametrize(
    ("gain", "is_last", "has_prospects"),
    [(0.05, False, False), (0.05, True, True), (0.2, True, False), (0.0, False, True)],
)
def test_only_a_look_that_culls_asks_for_prospects(
    gain: float, is_last: bool, has_prospects: bool
) -> None:
    host = blocks(1)
    (slot,) = prospects_of(host).replacing(looked_at(host, gain, is_last=is_last), 1, loss)
    assert bool(slot.prospects) is has_prospects


@pytest.mark.parametrize(
    ("price", "error", "has_prospects"),
    [(0.0, 0.01, False), (0.5, 0.01, True), (0.0, 0.5, True)],
)
def test_a_cull_for_the_price_or_for_doubt_asks_for_prospects_too(
    price: float, error: float, *, has_prospects: bool
) -> None:
    host = blocks(1)
    # 0.2 beats the bar of 0.1, but not at half a unit of gain a doubling, nor for sure.
    states = looked_at(host, 0.2, is_last=True, error=error)
    (slot,) = prospects_of(host, price=price).replacing(states, 1, loss)
    assert bool(slot.prospects) is has_prospects


def test_prospects_that_cannot_be_paid_are_told_and_not_built() -> None:
    host = blocks(1)
    states = looked_at(host, -0.1)
    asked = Asked()
    (slot,) = prospects_of(host, max_cost=1.0).replacing(states, 1, asked)
    assert {each.blueprint for each in slot.prospects} == {"mlp", "lora", "gated_mlp"}
    assert not any(each.fits for each in slot.prospects)
    assert asked.calls == []


@pytest.mark.parametrize(("price", "fits"), [(0.0, True), (0.5, False)])
def test_only_a_sibling_that_the_verdict_keeps_raises_what_may_be_paid(
    price: float, *, fits: bool
) -> None:
    host = blocks(1)
    states = looked_at(host, -0.1, 0.2)
    culled, sibling = (host.seed("0", index).activation for index in (0, 1))
    flops = host.request("0", 0, "lora", 0).cost.flops

    def pays(max_cost: float, *kept: Activation) -> bool:
        costs = prospects_of(host, max_cost).costs
        return flops <= costs.affordable_flops(1, 1, [culled], kept)

    limits = [1 + step / 20 for step in range(100)]
    limit = next(c for c in limits if pays(c, sibling) and not pays(c))
    (slot,) = prospects_of(host, limit, price).replacing(states, 1, loss)
    (lora,) = [each for each in slot.prospects if each.blueprint == "lora"]
    assert lora.fits is fits
