"""The planner's choices, by gain models whose weights are written down."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.event import EventKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Reward
from esper.contracts.stage import SeedStage
from esper.policy.planner import Planner, PlannerPolicy
from tests.unit.learning.gain_models import gain_model
from tests.unit.policy.builders import CATALOGUE, make_look, make_outcome, make_seed, make_slot
from tests.unit.policy.planned import make_birth, measured_slot, seen
from tests.unit.policy.runs import split_and_joined, steps
from tests.unit.scripted import losses, losses_and_hits, make_grower, same_weights, train

ADAPT, WAIT = DecisionKind.ADAPT, DecisionKind.WAIT
ROOM = {"a": 0.1, "b": 0.3, "c": 0.2}
"""The gain that the model predicts in each slot: the slot's `linear_gain`."""


def planner(
    *biases: float, weights: dict[str, float] | None = None, **options: Any
) -> PlannerPolicy:
    """Return a planner that predicts `linear_gain`, plus a bias for each member."""
    model = gain_model(weights or {"linear_gain": 1.0}, *biases)
    return PlannerPolicy(Planner(**{"price": 0.05, "caution": 0.0, **options}), model)


def slots(**changes: Any) -> Observation:
    """Return three slots in which a kernel that doubles the FLOPs can grow."""
    found = (measured_slot(name, make_birth(), linear_gain=gain) for name, gain in ROOM.items())
    return seen(*found, **changes)


def grown(decisions: list[Decision]) -> list[str | None]:
    return [decision.slot for decision in decisions if decision.kind is ADAPT]


def test_the_best_two_net_offers_grow_the_best_first() -> None:
    first, second = planner().decide(slots())
    assert [first.slot, second.slot] == ["b", "c"]
    assert (first.kind, first.adaptation, first.num_seeds) == (ADAPT, Adaptation.ADD_NEURONS, 1)
    assert first.reason == (
        "mlp in 'b' promises a gain of +0.3 +- 0 by linear_gain +0.3; net +0.25, cautiously +0.25, "
        "above 0.02"
    )


@pytest.mark.parametrize(
    ("most", "grown"),
    [(1, ["affine"]), (2, ["affine", "mlp"]), (4, ["affine", "mlp", "gated_mlp"])],
)
def test_of_a_slots_blueprints_the_best_grow_together_and_all_others_are_barred(
    most: int, grown: list[str]
) -> None:
    births = (make_birth(name) for name in ("mlp", "affine", "lora", "gated_mlp"))
    weights = {"affine": 0.3, "mlp": 0.2, "gated_mlp": 0.1}
    policy = planner(weights=weights, seeds_per_adaptation=most)
    (decision,) = policy.decide(seen(measured_slot("b", *births)))
    assert {*decision.barred} == set(CATALOGUE) - set(grown), "`lora` is not above the threshold"
    assert decision.num_seeds == len(grown)
    beside = "".join(f"{' and' if at else ', beside'} {n} (net " for at, n in enumerate(grown[1:]))
    assert re.sub(r"\+[0-9.e-]+\)", "", decision.reason).endswith(beside or ", above 0.02")
    assert set(policy.state_dict()["predicted"]["b"]) == set(grown)


def test_a_dear_kernel_loses_to_a_cheap_one_by_the_price_of_its_flops() -> None:
    # Both are predicted to gain 0.3; the price of a doubling is 0.05.
    dear, cheap = make_birth("mlp"), make_birth("affine")
    cheap = type(cheap)(blueprint="affine", first_order=1.0, added_flops=0.0)
    observation = seen(measured_slot("b", dear, cheap, linear_gain=0.3))
    for price, expected in ((0.05, "affine"), (0.0, "mlp")):
        policy = planner(price=price, weights={"linear_gain": 1.0, "mlp": 0.01})
        (decision,) = policy.decide(observation)
        assert decision.reason.startswith(expected)


@pytest.mark.parametrize(("threshold", "grows"), [(0.2499, ["b"]), (0.25, []), (0.3, [])])
def test_it_waits_up_to_its_threshold_and_says_why(threshold: float, grows: list[str]) -> None:
    decisions = planner(threshold=threshold, price=0.05).decide(slots())
    assert grown(decisions) == grows
    if not grows:
        (decision,) = decisions
        assert decision.kind is WAIT
        start = f"no cautious net gain is above {threshold:g} (mlp in 'b' promises a gain of +0.3 "
        assert decision.reason.startswith(start)
        assert "linear_gain +0.3" in decision.reason


def test_it_is_cautious_where_its_members_disagree() -> None:
    # Each member predicts 0.1 more or less: net 0.05, 0.25, 0.15, and a deviation of 0.1.
    decided = {
        caution: grown(planner(-0.1, 0.1, caution=caution).decide(slots()))
        for caution in (0.0, 1.0, 2.0, 3.0)
    }
    assert decided == {0.0: ["b", "c"], 1.0: ["b", "c"], 2.0: ["b"], 3.0: []}


@pytest.mark.parametrize("caution", [-0.1, math.nan, math.inf])
def test_caution_is_no_less_than_nothing(caution: float) -> None:
    with pytest.raises(ValueError, match=r"policy.caution must be finite and >= 0"):
        Planner(caution=caution)


@pytest.mark.parametrize(("left", "expected"), [(None, ["b", "c"]), (9, ["b", "c"]), (1, ["b"])])
def test_it_asks_for_no_more_events_than_are_left(left: int | None, expected: list[str]) -> None:
    assert grown(planner().decide(slots(events_left=left))) == expected


def test_it_waits_where_nothing_can_grow() -> None:
    (decision,) = planner().decide(slots(events_left=0))
    assert decision.reason == "safety.max_events allows no further growth event"
    (decision,) = planner().decide(seen(make_slot("a")))
    assert decision.reason.startswith("no slot has a measured offer")
    live = measured_slot("a", make_birth(), linear_gain=0.9)
    live = make_slot("a", (make_seed(SeedStage.TRAINING), *live.seeds), health=live.health)
    (decision,) = planner().decide(seen(live))
    assert decision.reason == ("no slot has a measured offer: 'a' has 1 live seeds (at most 1)")


def test_it_states_confidence_uncertainty_and_risk() -> None:
    # Members predict 0.2 and 0.4; the error of expected gains is 0.1, as is their deviation.
    (decision, _) = planner(-0.1, 0.1).decide(slots())
    assert decision.learned
    assert decision.confidence == pytest.approx(NormalDist().cdf(0.25 / math.hypot(0.1, 0.1)))
    # The doubt is 0.1 / 0.3: above three of 0.1, 0.2, 0.3, 0.4.
    assert decision.uncertainty == 0.75
    assert decision.risk == 0.25, "the share of the budget that is over"
    (early, _) = planner().decide(slots(epoch=4))
    assert early.risk == 0.2, "of the blueprint"


def test_a_seed_is_judged_by_its_own_prediction_also_after_a_resume() -> None:
    policy = planner(0.0, 0.0)
    policy.decide(slots())
    state = json.loads(json.dumps(policy.state_dict()))
    each = {"error": pytest.approx(0.1), "correction": 0.0}
    predicted = {"b": {"mlp": {"gain": 0.3, **each}}, "c": {"mlp": {"gain": 0.2, **each}}}
    assert state == {"model": policy.model.digest, "predicted": predicted, "residuals": {}}
    resumed = planner(0.0, 0.0)
    resumed.load_state_dict(state)
    # Nothing was measured to speak of; the usual verdict would wait.
    look = make_look(bar=0.1)
    ripe = make_seed(SeedStage.PROBATIONARY, bound="mlp", gain=0.02, gain_error=0.05, look=look)
    observation = seen(*(make_slot(name, (ripe,)) for name in ("a", "b")), epoch=14)
    expected = [("a", WAIT), ("b", DecisionKind.FOSSILIZE)]
    for each in (policy, resumed):
        verdicts = [d for d in each.decide(observation) if d.slot is not None]
        assert [(d.slot, d.kind) for d in verdicts] == expected
    assert "+0.3 predicted" in verdicts[1].reason


def test_two_seeds_of_a_slot_have_predictions_of_their_own() -> None:
    policy = planner(weights={"mlp": 0.4}, max_live_seeds_per_slot=2)
    policy.decide(seen(measured_slot("b", make_birth("mlp"))))
    ripe = {
        name: make_seed(SeedStage.PROBATIONARY, seed=index, bound=name, gain=0.02, gain_error=0.05)
        for index, name in enumerate(("mlp", "affine"))
    }
    decisions = policy.decide(seen(make_slot("b", tuple(ripe.values())), epoch=14))
    reasons = [each.reason for each in decisions if each.seed is not None]
    assert ["predicted" in reason for reason in reasons] == [True, False]
    assert policy.learn(make_outcome("affine", slot="b", gain=0.1), Reward(total=0.0)) == {}


def test_the_state_of_another_model_is_refused() -> None:
    state = planner(0.0, 0.0).state_dict()
    with pytest.raises(ConfigError, match=r"^policy.path: the gain model is another one than when"):
        planner(0.0, 0.1).load_state_dict(state)


def test_of_a_slots_offers_the_surest_counts() -> None:
    # `mlp` is predicted to gain 0.3 +- 0.2, `affine` 0.25 +- 0.
    model = replace(
        gain_model({"mlp": 1.0, "affine": 1.0}, 0.0, 0.0),
        weights=np.array([[0.1, 0.25], [0.5, 0.25]]),
    )
    observation = seen(measured_slot("b", make_birth("mlp"), make_birth("affine")))
    for caution, expected in ((0.0, "affine"), (1.0, "mlp")):
        policy = PlannerPolicy(Planner(caution=caution, seeds_per_adaptation=1), model)
        (decision,) = policy.decide(observation)
        assert expected in decision.barred
        best = policy.every_forecast(observation)[0]
        assert best.offer.birth.blueprint == "mlp"


def test_a_settled_trial_corrects_the_predictions_of_its_slot_and_of_the_run() -> None:
    policy = planner(0.0, 0.0)
    policy.decide(slots())
    outcome = make_outcome("mlp", slot="b", gain=0.0)
    changed = policy.learn(outcome, Reward(total=0.0))
    # Variances of a residual of -0.3: 9 of the run, 9 of the slot, 100 of the kernel, 25 of noise.
    run = -0.3 * 9 / 143
    slot = run + (-0.3 - run) * 9 / 134
    own = slot + (-0.3 - slot) * 100 / 125
    assert changed == {"policy/planner/correction/b/mlp": pytest.approx(own)}
    resumed = planner(0.0, 0.0)
    resumed.load_state_dict(json.loads(json.dumps(policy.state_dict())))
    for each in (policy, resumed):
        forecasts = {f.offer.slot: f.gain for f in each.every_forecast(slots())}
        assert forecasts["b"] == pytest.approx(0.3 + own)
        assert forecasts["c"] == pytest.approx(0.2 + run)


def test_a_second_trial_is_compared_with_what_the_model_says() -> None:
    policy = planner(0.0, 0.0)
    for _ in range(2):
        policy.decide(slots())
        policy.learn(make_outcome("mlp", slot="b", gain=0.0), Reward(total=0.0))
    run = -0.3 * 18 / (18 + 134)
    slot = run + (-0.3 - run) * 18 / (18 + 125)
    own = slot + (-0.3 - slot) * 200 / (200 + 25)
    forecasts = {f.offer.slot: f.gain for f in policy.every_forecast(slots())}
    assert forecasts["b"] == pytest.approx(0.3 + own)


def test_what_was_not_predicted_or_measured_teaches_nothing() -> None:
    policy = planner(0.0, 0.0)
    nothing = Reward(total=0.0)
    assert policy.learn(make_outcome("mlp", slot="b", gain=0.1), nothing) == {}
    policy.decide(slots())
    assert policy.learn(make_outcome("mlp", slot="b", gain=None), nothing) == {}
    assert policy.learn(make_outcome("mlp", slot="b", gain=0.1, rolled_back=True), nothing) == {}


def test_verdicts_come_before_requests_and_hold_them_back_in_their_slot() -> None:
    culled = make_seed(SeedStage.PROBATIONARY, gain=-0.5, look=make_look(is_last=True))
    b = measured_slot("b", make_birth(), linear_gain=0.3)
    b = make_slot("b", (culled, *b.seeds), health=b.health, births=b.births)
    decisions = planner(max_live_seeds_per_slot=2).decide(seen(b, *slots().slots[2:]))
    assert [(d.kind, d.slot) for d in decisions] == [(DecisionKind.CULL, "b"), (ADAPT, "c")]


def test_a_model_is_read_from_its_files(tmp_path: Path) -> None:
    gain_model({"linear_gain": 1.0}).save(tmp_path / "own", {})
    policy = Planner(path=str(tmp_path / "own")).build(0)
    assert grown(policy.decide(slots())) == ["b", "c"]


def test_it_reads_health_and_no_scores() -> None:
    assert (PlannerPolicy.reads_health, PlannerPolicy.reads_scores) == (True, False)


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"policy.threshold must be a finite number"):
        Planner(threshold=threshold)


def test_in_a_run_its_requests_pass_and_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    gain_model({"linear_gain": 1.0}, 0.2, 0.21).save(tmp_path / "own", {})
    policy = Planner(path=str(tmp_path / "own"), price=0.0)
    whole, told = make_grower(policy=policy)
    torch.manual_seed(7)
    steps(whole, 5)
    state = split_and_joined(whole.state_dict())
    steps(whole, 5)
    resumed, told_again = make_grower(policy=policy)
    resumed.load_state_dict(state)
    steps(resumed, 5)
    assert same_weights(whole.host.model, resumed.host.model)
    decisions, again = (each.of(EventKind.DECISION) for each in (told, told_again))
    assert decisions[-len(again) :] == again
    assert any(decision.learned for decision in decisions)
    assert told.of(EventKind.SAFETY) == []
    verdicts = [decision.reason for decision in again if decision.seed is not None]
    assert any(" predicted and " in reason for reason in verdicts)


def test_it_waits_where_the_probe_has_no_number(tmp_path: Path) -> None:
    gain_model({"linear_gain": 1.0}, 0.2, 0.21).save(tmp_path / "own", {})
    grower, told = make_grower(policy=Planner(path=str(tmp_path / "own"), price=0.0))
    for _ in range(3):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, probe=lambda model: losses(model) * math.nan)
    reasons = {decision.reason for decision in told.of(EventKind.DECISION)}
    assert all(reason.startswith("no slot has a measured offer") for reason in reasons)
    assert len(reasons) > 0
