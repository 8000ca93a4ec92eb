"""Every seed that the strategy wants takes part."""

from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.plan import Action, SeedChange
from esper.orchestrator.ensemble import Ensemble


def germinate(alpha_target: float, *, is_optional: bool = False) -> SeedChange:
    change = SeedChange(action=Action.GERMINATE, alpha_target=alpha_target)
    return replace(change, is_optional=is_optional)


@pytest.mark.parametrize(("num_seeds", "planned"), [(None, 4), (3, 3), (1, 1)])
def test_dormant_seeds_that_the_strategy_chooses_share_alpha(
    observe: Any, decide: Any, known: Any, num_seeds: int | None, planned: int
) -> None:
    observation = observe("DORMANT", "DORMANT", "DORMANT", "DORMANT")
    plan = Ensemble().plan(decide("add_layer", num_seeds=num_seeds), observation, known())
    is_open = num_seeds is None
    further = germinate(1 / planned, is_optional=is_open)
    assert plan.changes == (*(germinate(1 / planned),) * 2, further, further)[:planned]
    assert plan.exceeds_concurrency


def test_a_seed_that_the_strategy_does_not_want_leaves_its_share_to_the_others(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "DORMANT", "SHADOWING")
    plan = Ensemble().plan(decide("add_layer"), observation, known())
    assert [change.alpha_target for change in plan.changes] == [1 / 3] * 3
    fewer = replace(plan, changes=plan.changes[:2]).evened()
    assert [change.alpha_target for change in fewer.changes] == [0.5, 0.5]


def test_only_different_blueprints_that_are_not_barred_take_part(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "DORMANT", "DORMANT", bound=("mlp", "mlp", "lora"))
    plan = Ensemble().plan(decide("add_layer"), observation, known())
    assert plan.changes == (germinate(0.5),) * 2
    plan = Ensemble().plan(decide("add_layer", barred=("lora",)), observation, known())
    assert plan.changes == (germinate(1.0),)


def test_standing_seeds_get_the_share_and_others_do_not_count(
    observe: Any, decide: Any, known: Any
) -> None:
    stages = ("SHADOWING", "PROBATIONARY", "DORMANT", "TRAINING", "FOSSILIZED", "EMBARGOED")
    plan = Ensemble().plan(decide("add_layer"), observe(*stages), known())
    assert plan.changes == (
        SeedChange(action=Action.RETARGET, seed=0, alpha_target=1 / 3),
        SeedChange(action=Action.RETARGET, seed=1, alpha_target=1 / 3),
        germinate(1 / 3),
    )


def test_an_even_ensemble_has_nothing_to_do(observe: Any, decide: Any, known: Any) -> None:
    half = {0: {"alpha_target": 0.5}, 1: {"alpha_target": 0.5}}
    plan = Ensemble().plan(
        decide("add_layer"), observe("SHADOWING", "SHADOWING", seeds=half), known()
    )
    assert not plan.changes
    assert "all 2 seeds share evenly" in plan.reasoning


@pytest.mark.parametrize(
    ("seen", "barred", "why"),
    [
        ({"stage": "FOSSILIZED"}, (), "no seed is dormant"),
        ({"stage": "DORMANT", "may_grow": False}, (), "growth is over"),
        ({"stage": "DORMANT"}, ("affine", "mlp", "lora", "gated_mlp"), "every blueprint"),
    ],
)
def test_nobody_can_take_part(
    observe: Any, decide: Any, known: Any, seen: Any, barred: Any, why: str
) -> None:
    observation = observe(seen["stage"], may_grow=seen.get("may_grow", True))
    plan = Ensemble().plan(decide("add_layer", barred=barred), observation, known())
    assert not plan.changes
    assert why in plan.reasoning
