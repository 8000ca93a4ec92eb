"""The benchmark of the planner: what it fuzzes is worth fuzzing, and its worlds are wide."""

from random import Random

from esper.policy.planner import Planner, PlannerPolicy
from experiments.benchmarks import planner


def test_fuzzed_observations_make_the_planner_grow_keep_and_cull() -> None:
    tally = planner.fuzz(Random(1), 1500)
    assert tally.wrongly_executed == 0
    assert {"done/add_neurons", "done/fossilize", "done/cull", "done/wait"} <= set(tally.counts)
    assert not planner.FORM & {name.removeprefix("decision/") for name in tally.counts}


def test_a_wide_observation_offers_every_kernel() -> None:
    policy = PlannerPolicy(Planner(), planner.some_model(Random(0)))
    forecasts = policy.every_forecast(planner.wide_observation(5))
    assert len(forecasts) == 5 * 4
    assert planner.decision_ms(2) > 0
