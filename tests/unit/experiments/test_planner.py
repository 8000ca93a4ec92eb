"""The benchmarks of decisions: what they fuzz is worth fuzzing, and their worlds are wide."""

from random import Random

from esper.policy.gnn import GNN
from esper.policy.planner import Planner, PlannerPolicy
from experiments.benchmarks import learned, planner


def test_fuzzed_observations_make_the_planner_grow_keep_and_cull() -> None:
    tally = planner.fuzz(Random(1), 1500, planner.some_planner)
    assert tally.wrongly_executed == 0
    assert {"done/add_neurons", "done/fossilize", "done/cull", "done/wait"} <= set(tally.counts)
    assert not planner.FORM & {name.removeprefix("decision/") for name in tally.counts}


def test_a_wide_observation_offers_every_kernel() -> None:
    policy = PlannerPolicy(Planner(), planner.some_model(Random(0)))
    forecasts = policy.every_forecast(planner.wide_observation(5))
    assert len(forecasts) == 5 * 4
    assert planner.decision_ms(policy, 2) > 0


def test_fuzzed_observations_make_networks_grow_keep_and_cull() -> None:
    tally = planner.fuzz(Random(1), 600, learned.drawn)
    assert tally.wrongly_executed == 0
    assert {"done/add_neurons", "done/fossilize", "done/cull", "done/wait"} <= set(tally.counts)
    assert not planner.FORM & {name.removeprefix("decision/") for name in tally.counts}


def test_decisions_with_dropout_are_timed_alone_and_together() -> None:
    policy = learned.some_policy(Random(0), GNN(pretrained=None, uncertainty="dropout"))
    (decision, *_) = policy.decide(planner.wide_observation(3))
    assert decision.uncertainty is not None
    assert 0 <= decision.uncertainty <= 1
    assert learned.together_ratio(policy) > 0
