"""Different blueprints side by side."""

from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.plan import Action, SeedChange
from esper.orchestrator.diversify import Diversify


@pytest.mark.parametrize(
    ("num_seeds", "planned"), [(None, 2), (1, 1), (3, 3), (9, 4), (0, 0), (-1, 0)]
)
def test_as_many_seeds_germinate_as_wanted_and_dormant(
    observe: Any, decide: Any, known: Any, num_seeds: int | None, planned: int
) -> None:
    observation = observe("DORMANT", "DORMANT", "DORMANT", "DORMANT")
    plan = Diversify().plan(decide("add_neurons", num_seeds=num_seeds), observation, known())
    one = SeedChange(action=Action.GERMINATE, alpha_target=1.0)
    further = replace(one, is_optional=num_seeds is None)
    assert plan.changes == (one, further, further, further)[:planned]


def test_only_dormant_seeds_with_a_blueprint_of_their_own_count(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe(
        "DORMANT", "DORMANT", "TRAINING", "DORMANT", bound=("mlp", "mlp", "affine", "lora")
    )
    four = decide("add_neurons", num_seeds=4)
    assert len(Diversify().plan(four, observation, known()).changes) == 2
    barred = decide("add_neurons", num_seeds=4, barred=("lora",))
    assert len(Diversify().plan(barred, observation, known()).changes) == 1


def test_the_alpha_target_is_the_initial_blend(observe: Any, decide: Any, known: Any) -> None:
    plan = Diversify(initial_blend=0.4).plan(decide("add_neurons"), observe("DORMANT"), known())
    assert [change.alpha_target for change in plan.changes] == [0.4]


@pytest.mark.parametrize(
    ("observed", "barred", "why"),
    [
        ({"stage": "DORMANT", "may_grow": False}, (), "growth is over"),
        ({"stage": "EMBARGOED"}, (), "no seed is dormant"),
        ({"stage": "DORMANT"}, ("affine",), "every blueprint on offer is barred"),
    ],
)
def test_an_empty_plan_says_why(
    observe: Any, decide: Any, known: Any, observed: Any, barred: Any, why: str
) -> None:
    observation = observe(observed["stage"], may_grow=observed.get("may_grow", True))
    plan = Diversify().plan(decide("add_neurons", barred=barred), observation, known())
    assert not plan.changes
    assert plan.reasoning == f"nothing to do in slot 'block': {why}"
