"""What the best kernel of each slot promises, measured in real networks."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.attribution.first_order import Loss, first_order_scores
from esper.contracts.event import EventKind
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.grower.prospects import REFRESH_EPOCHS, SLOTS_AT_ONCE, Prospects, Ranked, rank
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.requests import growable_states
from esper.kernels.pipeline import build_kernel
from esper.policy.heuristic import Heuristic
from tests.unit.grower.ranked import Asked, X, blocks, loss, prospects_of
from tests.unit.growth.builders import grow, same, tensors
from tests.unit.growth.faulty import offered
from tests.unit.scripted import TRAIN, losses, make_grower, make_model, train


def measured(
    prospects: Prospects,
    loss: Loss | None,
    epoch: int = 1,
    affordable_flops: float = math.inf,
    change: Callable[[SlotState], SlotState] = lambda state: state,
) -> dict[str, float | None]:
    """Return the score of each slot."""
    states = tuple(change(state) for state in growable_states(prospects.host, epoch))
    scored = prospects.scored(states, epoch, affordable_flops, loss)
    assert [replace(state, score=None) for state in scored] == list(states)
    return {state.spec.name: state.score for state in scored}


def alone(host: Host, slot: str, most_flops: float = math.inf) -> dict[int, float]:
    """Return the score of each dormant seed of a slot, measured one by one."""
    scores = {}
    for seed in host.slots[slot].seeds:
        request = host.request(slot, seed.index, seed.bound, 0)
        if seed.stage is SeedStage.DORMANT and request.cost.flops <= most_flops:
            key = (slot, seed.index)
            scores[seed.index] = first_order_scores(host, {key: build_kernel(request)}, loss)[key]
    return scores


def test_kernels_are_ranked_without_those_that_fail() -> None:
    with offered("bad", "worse") as troubles:
        host = blocks(2, ("bad", "worse", "mlp"), num_seeds=3)
        keys = {("0", 0): "bad", ("0", 2): "mlp", ("1", 1): "worse", ("1", 2): "mlp"}
        kernels = {key: build_kernel(host.request(*key, name, 0)) for key, name in keys.items()}
        troubles["bad"].forward = ValueError("mistake")
        troubles["worse"].backward = ZeroDivisionError("another")
        ranked = rank(host, kernels, loss)
    healthy = {key: kernel for key, kernel in kernels.items() if keys[key] == "mlp"}
    assert ranked.scores == first_order_scores(host, healthy, loss)
    assert set(ranked.scores) == {("0", 2), ("1", 2)}
    told = {(each.slot, each.seed, each.blueprint): each.error for each in ranked.failed}
    assert set(told) == {("0", 0, "bad"), ("1", 1, "worse")}
    assert "ValueError: mistake" in str(told["0", 0, "bad"])
    assert "ZeroDivisionError: another" in str(told["1", 1, "worse"])
    assert len(kernels) == 4, "the caller's table stays as it was"


def test_if_every_kernel_fails_none_is_ranked_and_without_a_loss_none_is_asked() -> None:
    with offered("bad") as troubles:
        host = blocks(1, ("bad",), num_seeds=1)
        kernels = {("0", 0): build_kernel(host.request("0", 0, "bad", 0))}
        troubles["bad"].forward = ValueError("mistake")
        assert rank(host, kernels, None) == Ranked({}, [])
        ranked = rank(host, kernels, loss)
    assert ranked.scores == {}
    assert [each.blueprint for each in ranked.failed] == ["bad"]


def test_a_loss_that_fails_by_itself_is_no_kernels_fault() -> None:
    host = blocks(1)
    kernels = {("0", 0): build_kernel(host.request("0", 0, "mlp", 0))}
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        rank(host, kernels, lambda model: model(torch.zeros(2, 99)).mean())


def test_the_score_of_a_slot_by_hand() -> None:
    host = blocks(3, ("affine",), num_seeds=1)
    found = measured(prospects_of(host), loss)
    # An affine kernel beside a block: the gradient of the block's output times the block's input.
    inputs, outputs = [X], []
    for block in host.model.children():
        outputs.append(block(inputs[-1]))
        outputs[-1].retain_grad()
        inputs.append(outputs[-1])
    outputs[-1].square().mean().backward()
    expected = {
        str(index): float((y.grad.T @ x.detach()).abs().sum() + y.grad.sum(dim=0).abs().sum())
        for index, (x, y) in enumerate(zip(inputs, outputs, strict=False))
    }
    assert found == {slot: pytest.approx(score, rel=1e-5) for slot, score in expected.items()}
    assert len({round(score, 6) for score in expected.values()}) == 3


def test_the_score_of_a_slot_is_that_of_its_best_kernel() -> None:
    host = blocks(3)
    before, generator = tensors(host.model), torch.get_rng_state()
    asked = Asked()
    found = measured(prospects_of(host), asked)
    assert asked.calls == [{"0": 4, "1": 4, "2": 4}], "one pass for all of them"
    assert found == {slot: pytest.approx(max(alone(host, slot).values())) for slot in host.slots}
    assert all(len(set(alone(host, slot).values())) == 4 for slot in host.slots)
    assert same(tensors(host.model), before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(bank_of(slot.module) is None for slot in host.slots.values())


def test_scores_are_measured_anew_every_four_epochs() -> None:
    host, asked = blocks(2, ("affine",), num_seeds=1), Asked()
    prospects = prospects_of(host)
    first = measured(prospects, asked, epoch=3)
    with torch.no_grad():
        for parameter in host.model.parameters():
            parameter.mul_(0.5)
    for epoch in (4, 5, 6):
        assert measured(prospects, asked, epoch) == first
    assert len(asked.calls) == 1
    again = measured(prospects, asked, epoch=3 + REFRESH_EPOCHS)
    assert len(asked.calls) == 2
    assert again == {slot: pytest.approx(alone(host, slot)[0]) for slot in host.slots}
    assert again != first


@pytest.mark.parametrize("num_slots", [1, 2])
def test_nothing_is_measured_without_a_choice_or_without_a_loss(num_slots: int) -> None:
    host, asked = blocks(num_slots), Asked()
    prospects = prospects_of(host)
    assert set(measured(prospects, None).values()) == {None}
    found = measured(prospects, asked)
    assert len(asked.calls) == (num_slots > 1)
    assert all((score is None) == (num_slots == 1) for score in found.values())


def test_a_slot_with_a_live_seed_is_not_measured_and_keeps_its_score() -> None:
    host, asked = blocks(3), Asked()
    prospects = prospects_of(host)
    grow(host, "1", 0, "mlp")
    found = measured(prospects, asked, epoch=1)
    assert asked.calls == [{"0": 4, "1": 1, "2": 4}]
    assert found["1"] is None
    assert found["0"] == pytest.approx(max(alone(host, "0").values()))
    host.cull("1", 0, epoch=1, reason="a test wants it")
    found = measured(prospects, asked, epoch=2)
    assert asked.calls[1:] == [{"1": 3}], "the others are not stale yet"
    assert found["1"] == pytest.approx(max(alone(host, "1").values()))
    grow(host, "1", 1, "mlp")
    assert measured(prospects, asked, epoch=9)["1"] == found["1"]
    assert asked.calls[2:] == [{"0": 4, "1": 1, "2": 4}]


def test_kernels_that_cannot_be_paid_are_not_measured() -> None:
    host = blocks(2)
    flops = sorted(host.request("0", s.index, s.bound, 0).cost.flops for s in host.slots["0"].seeds)
    limit = flops[1]
    assert limit < flops[2]
    asked = Asked()
    found = measured(prospects_of(host), asked, affordable_flops=limit)
    assert asked.calls == [{"0": 2, "1": 2}]
    for slot, score in found.items():
        assert score == pytest.approx(max(alone(host, slot, limit).values()))
    assert found["0"] < max(alone(host, "0").values())  # type: ignore[operator]


def test_a_slot_without_a_kernel_that_can_be_paid_is_not_measured() -> None:
    def of_two(state: SlotState) -> SlotState:
        return replace(state, least_flops=51.0 if state.spec.name == "2" else 0.0)

    host, asked = blocks(3), Asked()
    found = measured(prospects_of(host), asked, affordable_flops=50.0, change=of_two)
    assert [set(call) for call in asked.calls] == [{"0", "1"}]
    assert found["2"] is None
    # Of two slots one is left, and there is no choice.
    assert set(measured(prospects_of(blocks(2)), asked, 1, -1.0).values()) == {None}
    assert len(asked.calls) == 1


def test_a_slot_whose_kernels_cannot_be_built_has_no_score_until_they_can() -> None:
    with offered("bad") as troubles:
        host, asked = blocks(2, ("bad",), num_seeds=1), Asked()
        prospects = prospects_of(host)
        troubles["bad"].forward = ValueError("mistake")
        states = tuple(replace(state, least_flops=0.0) for state in host.states(1))
        assert [s.score for s in prospects.scored(states, 1, math.inf, asked)] == [None, None]
        troubles["bad"].heal()
        assert all(score is not None for score in measured(prospects, asked, epoch=2).values())


def test_scores_survive_a_save_with_their_epochs() -> None:
    host, asked = blocks(2), Asked()
    prospects, again = prospects_of(host), prospects_of(host)
    found = measured(prospects, asked, epoch=3)
    again.load_state_dict(json.loads(json.dumps(prospects.state_dict())))
    assert measured(again, asked, epoch=6) == found
    assert len(asked.calls) == 1
    measured(again, asked, epoch=7)
    assert len(asked.calls) == 2


def test_many_slots_are_measured_in_parts_as_if_together() -> None:
    host, asked = blocks(SLOTS_AT_ONCE + 3, ("affine", "mlp"), num_seeds=2), Asked()
    found = measured(prospects_of(host), asked)
    assert [len(call) for call in asked.calls] == [SLOTS_AT_ONCE, 3]
    assert len(found) == SLOTS_AT_ONCE + 3
    for slot in ("0", str(SLOTS_AT_ONCE - 1), str(SLOTS_AT_ONCE), str(SLOTS_AT_ONCE + 2)):
        assert found[slot] == pytest.approx(max(alone(host, slot).values()))


# The rest is about whole runs.


def first_grown(scale: float, **step: Any) -> tuple[str, dict[str, float | None]]:
    """Return the slot that grows first, and the scores; `scale` is of the second slot's weights.

    The smaller they are, the less reaches the first slot.
    """
    model = make_model()
    with torch.no_grad():
        model[3].weight.mul_(scale)  # type: ignore[index]
    policy = Heuristic(trigger="fractions", fractions=(1 / 14,))
    grower, told = make_grower(model, policy=policy)
    train(model, grower.host.optimizer)
    report = grower.step(losses, **step)
    germinated = {
        move.slot for move in told.of(EventKind.LIFECYCLE) if move.to_stage is SeedStage.GERMINATED
    }
    assert len(germinated) == 1
    scores = {slot.spec.name: slot.score for slot in report.observation.slots}
    return germinated.pop(), scores


def training_loss(model: nn.Module) -> Tensor:
    return functional.cross_entropy(model(TRAIN[0]), TRAIN[1])


@pytest.mark.parametrize(("scale", "expected"), [(0.01, "3"), (8.0, "0")])
def test_the_slot_with_the_higher_score_grows_first(scale: float, expected: str) -> None:
    grown, scores = first_grown(scale, loss=training_loss)
    other = "3" if expected == "0" else "0"
    assert scores[expected] > scores[other] > 0  # type: ignore[operator]
    assert grown == expected
    assert first_grown(scale) == ("0", {"0": None, "3": None}), "nothing is known without a loss"
