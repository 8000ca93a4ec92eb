"""The decision's adaptation names the orchestrator."""

from typing import Any

import pytest

from esper.orchestrator.auto import Auto
from esper.orchestrator.diversify import Diversify
from esper.orchestrator.ensemble import Ensemble
from esper.orchestrator.replace import Replace
from esper.orchestrator.specialize import Specialize


@pytest.mark.parametrize(
    ("adaptation", "kind"),
    [
        ("add_neurons", "diversify"),
        ("remove_neurons", "specialize"),
        ("add_layer", "ensemble"),
        ("replace", "replace"),
        (None, "replace"),
    ],
)
def test_each_adaptation_has_its_orchestrator(
    observe: Any, decide: Any, known: Any, adaptation: str | None, kind: str
) -> None:
    observation = observe("SHADOWING", "SHADOWING", "DORMANT", "DORMANT")
    plan = Auto().plan(decide(adaptation), observation, known({0: 0.1, 1: 0.05}))
    assert plan.kind == kind
    assert plan.changes


def test_it_plans_as_the_orchestrators_with_even_shares_of_alpha(
    observe: Any, decide: Any, known: Any
) -> None:
    auto, knowledge = Auto(initial_blend=0.5), known({0: 0.2})
    growing = observe("DORMANT", "DORMANT", "DORMANT")
    standing = observe("SHADOWING", seeds={0: {"alpha_target": 0.2}})
    pairs = (
        (Diversify(initial_blend=0.5), decide("add_neurons"), growing),
        (Specialize(alpha_step=None), decide("remove_neurons"), standing),
        (Ensemble(), decide("add_layer"), growing),
        (Replace(), decide("replace"), standing),
    )
    for orchestrator, decision, observation in pairs:
        plan = auto.plan(decision, observation, knowledge)
        assert plan.changes
        assert plan == orchestrator.plan(decision, observation, knowledge)


def test_a_bad_blend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"orchestrator\.initial_blend"):
        Auto(initial_blend=0.0)
