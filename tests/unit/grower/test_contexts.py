"""What a strategy that reads health is told of a germination."""

import math

import pytest

from esper.grower.contexts import contexts_of
from esper.signals.gain_features import FEATURES, GROUPS, group_of, offers_of
from tests.gain_models import full_model
from tests.unit.policy.planned import make_birth, measured_slot, seen

RUN = (1.0, 0.5, 0.5, 0.25)


def test_every_feature_is_of_one_group() -> None:
    assert [group_of(name) for name in ("gap", "alone", "left_alone", "log_flops")] == [0, 1, 1, 2]
    assert [group_of(name) for name in ("rel_dead_units", "alone_rel_first_order")] == [1, 2]
    assert {group_of(name) for name in FEATURES} == set(range(len(GROUPS)))


def test_the_numbers_are_what_run_slot_and_kernel_add_to_the_gain() -> None:
    slot = measured_slot("a", make_birth("mlp", 1.0), make_birth("lora", 1.0), linear_gain=0.2)
    offers = offers_of(seen(slot, val_losses=(0.5,)), [slot])
    model = full_model(linear_gain=0.5, mlp=0.3, log_val_loss=0.1)
    contexts = contexts_of(model, offers, RUN)
    slots = 0.5 + 0.5 * math.tanh(0.5 * 0.2 / 0.1)
    runs = 0.5 + 0.5 * math.tanh(0.1 * math.log(0.5) / 0.1)
    kernels = 0.5 + 0.5 * math.tanh(0.3 / 0.1)
    assert contexts["mlp"] == pytest.approx((*RUN, runs, slots, kernels))
    assert contexts["lora"] == pytest.approx((*RUN, runs, slots, 0.5))


def test_without_an_offer_there_is_none() -> None:
    assert contexts_of(full_model(), [], RUN) == {}
