"""Each decision of a default run to change a slot leads to the plan that its adaptation names."""

import pytest

from esper.contracts.stage import LIVE
from tests.integration.harness import Done, Json, Run

PLANS = {
    "add_neurons": "diversify",
    "remove_neurons": "specialize",
    "add_layer": "ensemble",
    "replace": "replace",
}
"""The kind of plan that each adaptation leads to."""


@pytest.fixture(scope="module")
def run(default_done: Done) -> Run:
    return default_done.run


def after(run: Run, wish: Json) -> list[Json]:
    """Return the plan of a decision to change a slot, and what followed there in that epoch."""
    same = [each for each in run.events if each["epoch"] == wish["epoch"]]
    about = [each for each in same if each.get("slot") == wish["slot"]]
    later = about[about.index(wish) :]
    (start,) = [i for i, e in enumerate(later) if e.get("plan_kind") == PLANS[wish["adaptation"]]]
    return later[start:]


def test_a_decision_to_grow_leads_to_a_plan_a_selection_and_a_kernel(run: Run) -> None:
    wishes = [each for each in run.of("decision") if each["decision_kind"] == "adapt"]
    growing = [wish for wish in wishes if wish["adaptation"] != "remove_neurons"]
    num_grown = 0
    for wish in growing:
        about = after(run, wish)
        kinds = [each["kind"] for each in about]
        # Nothing is built if no kernel on offer fits the budgets.
        is_chosen = any(each["kind"] == "selection" and each["seed"] is not None for each in about)
        path = ("plan", "selection", *(["kernel"] if is_chosen else []))
        order = [kinds.index(kind) for kind in path]
        assert order == sorted(order)
        assert ("kernel" in kinds) == is_chosen
        num_grown += is_chosen
    assert num_grown > 0


def test_a_decision_to_remove_leads_to_a_plan_that_blends_again_and_culls(run: Run) -> None:
    removals = [e for e in run.of("decision") if e["adaptation"] == "remove_neurons"]
    assert removals, "a default run has one"
    for wish in removals:
        plan, *later = after(run, wish)
        assert {change["action"] for change in plan["changes"]} <= {"retarget", "cull"}
        assert "cull" in {change["action"] for change in plan["changes"]}
        # Those left share alpha evenly; one that has its share already does not blend again.
        (line,) = [each for each in run.metrics if each["epoch"] == wish["epoch"]]
        here = [seed for seed in line["seeds"] if seed["slot"] == wish["slot"]]
        left = [seed for seed in here if seed["stage"] in LIVE]
        unequal = {seed["seed"] for seed in left if seed["alpha"] != 1 / len(left)}
        assert unequal == {c["seed"] for c in plan["changes"] if c["action"] == "retarget"}
        moved = {(e["seed"], e["to_stage"]) for e in later if e["kind"] == "lifecycle"}
        stages = {"retarget": "BLENDING", "cull": "CULLED"}
        assert {(c["seed"], stages[c["action"]]) for c in plan["changes"]} <= moved
        assert not {"selection", "kernel"} & {each["kind"] for each in later}
