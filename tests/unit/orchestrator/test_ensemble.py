"""Every seed takes part."""

from typing import Any

import pytest

from esper.contracts.plan import Action, SeedChange
from esper.orchestrator.ensemble import Ensemble


def germinate(seed: int, blueprint: str, alpha_target: float) -> SeedChange:
    return SeedChange(
        action=Action.GERMINATE, seed=seed, blueprint=blueprint, alpha_target=alpha_target
    )


def test_every_dormant_seed_germinates_with_its_own_blueprint_at_one_nth(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "DORMANT", "DORMANT", "DORMANT")
    plan = Ensemble().plan(decide("add_layer"), observation, known(gains={"lora": 0.2}))
    assert plan.changes == (
        germinate(0, "affine", 0.25),
        germinate(1, "mlp", 0.25),
        germinate(2, "lora", 0.25),
        germinate(3, "gated_mlp", 0.25),
    )
    assert plan.exceeds_concurrency
    assert plan.expected_improvement == 0.2


def test_seeds_bound_to_the_same_blueprint_get_different_ones(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "DORMANT", "DORMANT", bound=("mlp",))
    plan = Ensemble().plan(decide("add_layer"), observation, known())
    assert [change.blueprint for change in plan.changes] == ["mlp", "lora", "gated_mlp"]


def test_a_blueprint_in_use_is_not_tried_again_while_others_are_free(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("FOSSILIZED", "BLENDING", "DORMANT", bound=("lora", "mlp", "mlp"))
    plan = Ensemble().plan(decide("add_layer"), observation, known())
    assert plan.changes == (germinate(2, "gated_mlp", 1.0),)


def test_a_small_catalogue_is_used_evenly_and_barred_blueprints_never(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "DORMANT", "DORMANT", "DORMANT")
    decision = decide("add_layer", barred=("affine", "lora"))
    plan = Ensemble().plan(decision, observation, known())
    assert [change.blueprint for change in plan.changes] == ["mlp", "gated_mlp", "gated_mlp", "mlp"]


def test_standing_seeds_get_the_share_and_others_do_not_count(
    observe: Any, decide: Any, known: Any
) -> None:
    stages = ("SHADOWING", "PROBATIONARY", "DORMANT", "TRAINING", "FOSSILIZED", "EMBARGOED")
    observation = observe(*stages, seeds={1: {"alpha_target": 1 / 3}})
    plan = Ensemble().plan(decide("add_layer"), observation, known())
    assert plan.changes == (
        SeedChange(action=Action.RETARGET, seed=0, alpha_target=1 / 3),
        germinate(2, "lora", 1 / 3),
    )


def test_an_even_ensemble_has_nothing_to_do(observe: Any, decide: Any, known: Any) -> None:
    half = {0: {"alpha_target": 0.5}, 1: {"alpha_target": 0.5}}
    plan = Ensemble().plan(
        decide("add_layer"), observe("SHADOWING", "SHADOWING", seeds=half), known()
    )
    assert not plan.changes
    assert "all 2 seeds share evenly already" in plan.reasoning


@pytest.mark.parametrize(
    ("stage", "may_grow", "barred"),
    [
        ("FOSSILIZED", True, ()),
        ("DORMANT", False, ()),
        ("DORMANT", True, ("affine", "mlp", "lora", "gated_mlp")),
    ],
)
def test_nobody_can_take_part(
    observe: Any, decide: Any, known: Any, stage: str, may_grow: bool, barred: Any
) -> None:
    observation = observe(stage, may_grow=may_grow)
    plan = Ensemble().plan(decide("add_layer", barred=barred), observation, known())
    assert not plan.changes
    assert "no seed can germinate" in plan.reasoning
