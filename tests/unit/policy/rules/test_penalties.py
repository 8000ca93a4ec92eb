import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.policy.rules.penalties import Penalties, PenaltyRules


def penalties(**culls: int) -> Penalties:
    penalised = Penalties(PenaltyRules())
    penalised.advance(10)
    for name, times in culls.items():
        for _ in range(times):
            penalised.add(name)
    return penalised


def test_a_cull_costs_two_and_fades_with_each_growth_event_until_it_is_dropped() -> None:
    penalised = penalties(mlp=1)
    seen = []
    for events in (10, 11, 12, 23, 24):
        penalised.advance(events)
        seen.append(penalised["mlp"])
    # 2 * 0.8^13 = 0.11, 2 * 0.8^14 = 0.088.
    assert seen == pytest.approx([2.0, 1.6, 1.28, 2 * 0.8**13, 0.0])


def test_epochs_without_a_growth_event_change_nothing() -> None:
    penalised = penalties(mlp=1)
    for _ in range(50):
        penalised.advance(10)
        penalised.barred(("mlp",), ("mlp",))
    assert penalised["mlp"] == 2.0


def test_events_that_nobody_asked_about_count_too() -> None:
    penalised = penalties(mlp=1)
    penalised.advance(13)
    assert penalised["mlp"] == pytest.approx(2 * 0.8**3)


def test_a_step_back_in_time_fades_nothing() -> None:
    penalised = penalties(mlp=1)
    penalised.advance(3)
    assert penalised["mlp"] == 2.0


@pytest.mark.parametrize(("apart", "is_barred"), [(0, True), (6, True), (7, False)])
def test_two_culls_within_six_events_reach_the_limit(apart: int, is_barred: bool) -> None:
    # 2 * 0.8^6 + 2 = 2.52, 2 * 0.8^7 + 2 = 2.42.
    penalised = penalties(mlp=1)
    penalised.advance(10 + apart)
    assert penalised.barred(("mlp", "lora"), ("mlp", "lora")) == ()
    penalised.add("mlp")
    barred = penalised.barred(("mlp", "lora"), ("mlp", "lora"))
    assert barred == (("mlp",) if is_barred else ())


def test_it_is_barred_for_two_events_at_most_whatever_its_penalty() -> None:
    penalised = penalties(mlp=5)
    barred = []
    for events in (10, 11, 12):
        penalised.advance(events)
        barred.append(penalised.is_over("mlp"))
    assert barred == [True, True, False]
    assert penalised["mlp"] == pytest.approx(6.4)
    penalised.add("mlp")
    assert penalised.is_over("mlp")


def test_when_all_are_barred_the_least_penalised_is_offered() -> None:
    penalised = penalties(mlp=3, lora=2, norm=3)
    catalogue = ("mlp", "lora", "norm")
    assert penalised.barred(catalogue, catalogue) == ("mlp", "norm")


def test_what_counts_is_what_dormant_seeds_are_bound_to() -> None:
    penalised = penalties(mlp=2, lora=3)
    # `norm` is free of penalty, but no dormant seed is bound to it.
    assert penalised.barred(("mlp", "lora", "norm"), ("mlp", "lora")) == ("lora",)


def test_several_that_are_alike_take_turns() -> None:
    penalised = penalties(mlp=2, lora=2, norm=3)
    catalogue = ("mlp", "lora", "norm")
    offered = []
    for _ in range(4):
        barred = penalised.barred(catalogue, catalogue)
        offered += [name for name in catalogue if name not in barred]
        penalised.turn()
    assert offered == ["mlp", "lora", "mlp", "lora"]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5)),
    st.sets(st.sampled_from("abcdef"), min_size=1),
    st.integers(0, 20),
)
def test_one_blueprint_at_least_is_always_offered(
    culls: dict[str, int], offered: set[str], turns: int
) -> None:
    penalised = penalties(**culls)
    for _ in range(turns):
        penalised.turn()
    barred = penalised.barred("abcdef", sorted(offered))
    assert offered - set(barred)
    assert all(penalised[name] >= 2.5 for name in barred)


def test_the_state_survives_json() -> None:
    penalised, other = penalties(mlp=2, lora=2), Penalties(PenaltyRules())
    penalised.turn()
    other.load_state_dict(json.loads(json.dumps(penalised.state_dict())))
    assert other.state_dict() == penalised.state_dict()
    other.advance(11)
    assert other["mlp"] == pytest.approx(3.2)
    assert other.is_over("mlp")
    other.advance(12)
    assert not other.is_over("mlp")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"penalty_per_cull": -1.0}, "policy.penalty_per_cull"),
        ({"penalty_per_cull": math.inf}, "policy.penalty_per_cull"),
        ({"penalty_decay": 1.0}, "policy.penalty_decay"),
        ({"penalty_floor": 0.0}, "policy.penalty_floor"),
        ({"penalty_limit": 0.1}, "policy.penalty_limit must be > penalty_floor"),
        ({"penalty_limit": math.nan}, "policy.penalty_limit"),
    ],
)
def test_a_bad_rule_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        PenaltyRules(**changes)
