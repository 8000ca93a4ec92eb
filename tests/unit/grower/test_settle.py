"""Learning from settled seeds: from ordinary ones, and from those rolled back."""

from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.event import EventKind, Judgement, LedgerUpdate, PolicyUpdate
from esper.contracts.outcome import Outcome
from esper.grower.settle import Settler
from esper.options import OPTIONS
from esper.policy.heuristic import Heuristic
from esper.store.memory import Memory
from tests.unit.policy.builders import make_outcome, make_slot

SPEC = make_slot().spec


def make_settlement(reward: str) -> Settler:
    model = OPTIONS["reward"][reward]()
    return Settler(model, Heuristic().build(0), Memory().open(), "run")


def settled(settlement: Settler, outcome: Outcome) -> dict[EventKind, Any]:
    return {event.event_kind: event for event in settlement.settle(outcome, SPEC)}


def harmful(**changes: Any) -> Outcome:
    outcome = make_outcome("mlp")
    values = {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}
    broken = {"gain": 0.3, "accuracy_gain": 0.1, "rolled_back": True, "reason": "loss is nan"}
    return Outcome(**{**values, **broken, **changes})


@pytest.mark.parametrize("reward", OPTIONS["reward"])
def test_a_rolled_back_seed_is_judged_the_worst_by_every_reward_model(reward: str) -> None:
    told = settled(make_settlement(reward), harmful())
    judged = told[EventKind.REWARD]
    assert isinstance(judged, Judgement)
    assert (judged.reward.total, judged.reward.confidence) == (-1.0, 1.0)
    assert "loss is nan" in judged.reward.explanation
    update = told[EventKind.LEDGER]
    assert isinstance(update, LedgerUpdate)
    assert update.reward == -1.0
    assert isinstance(told[EventKind.POLICY_UPDATE], PolicyUpdate)


@pytest.mark.parametrize("reward", OPTIONS["reward"])
def test_a_seed_that_was_not_part_of_the_network_is_judged_as_any_other(reward: str) -> None:
    unfelt = harmful(rolled_back=False, gain=None, accuracy_gain=None, gain_error=None)
    judged = settled(make_settlement(reward), unfelt)[EventKind.REWARD]
    assert judged.reward == OPTIONS["reward"][reward]().judge(unfelt)
    assert judged.reward.total > -0.5


def test_the_gain_of_before_the_rollback_is_expected_of_nobody() -> None:
    settlement = make_settlement("gain")
    settled(settlement, harmful())
    assert settlement.ledger.gains(SPEC, "mlp")[0].count == 0
    (entry,) = settlement.ledger.entries_of_run()
    assert (entry.reward, entry.success, entry.accuracy_improvement) == (-1.0, False, None)
    settled(settlement, harmful(rolled_back=False, activation=2))
    assert settlement.ledger.gains(SPEC, "mlp")[0].total == 0.3


def test_a_strategy_sees_the_blueprint_that_broke_the_network_as_the_worst() -> None:
    settlement = make_settlement("gain")
    settled(settlement, make_outcome("lora"))
    for activation, gain in enumerate((0.02, 0.0, -0.02), 2):
        settled(settlement, harmful(rolled_back=False, gain=gain, activation=activation))
    before = settlement.ledger.arm(SPEC, 0, "mlp").mean_reward
    settled(settlement, harmful(activation=9))
    mean = settlement.ledger.arm(SPEC, 0, "mlp").mean_reward
    assert mean < before
    assert mean < settlement.ledger.arm(SPEC, 0, "lora").mean_reward


def test_the_ledgers_events_have_the_rewards_as_given_and_their_mean() -> None:
    settlement = make_settlement("gain")
    outcomes = [replace(make_outcome("mlp"), gain=g, activation=n) for n, g in enumerate((0.1, 0))]
    first, second = [settled(settlement, outcome)[EventKind.LEDGER] for outcome in outcomes]
    assert (first.trials, first.mean_reward, first.standard_error) == (1, first.reward, None)
    assert first.reward > second.reward
    assert second.mean_reward == pytest.approx((first.reward + second.reward) / 2)
    assert second.standard_error == pytest.approx((first.reward - second.reward) / 2)


def test_expected_gains_are_compared_with_measured_ones_also_after_a_save() -> None:
    settlement, restored = make_settlement("gain"), make_settlement("gain")
    for number, (expected, gain) in enumerate([(0.01, 0.02), (0.02, 0.01), (None, 9.0)]):
        settled(settlement, make_outcome(activation=number, expected_gain=expected, gain=gain))
    assert settlement.tally.expectation.correlation is None
    broken = make_outcome(activation=8, expected_gain=0.5, gain=-0.5, rolled_back=True)
    settled(settlement, broken)
    restored.load_state_dict(settlement.state_dict())
    settled(restored, make_outcome(activation=9, expected_gain=0.03, gain=0.03))
    assert restored.tally.expectation.correlation == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("reward", "best"), [("gain", "mlp"), ("multi_metric", "lora"), ("sparse", "conv")]
)
def test_the_same_trials_lead_to_another_choice_under_each_reward_model(
    reward: str, best: str
) -> None:
    """A cheap kernel that was culled, one that trebles the network, and a huge one."""
    settlement = make_settlement(reward)
    sizes: dict[str, tuple[float, int, bool]] = {
        "lora": (0.06, 100, False),
        "mlp": (0.10, 300, True),
        "conv": (0.115, 3000, True),
    }
    for number, (blueprint, (gain, size, is_kept)) in enumerate(sizes.items()):
        outcome = replace(
            make_outcome(blueprint),
            activation=number,
            gain=gain,
            gain_error=0.01,
            fossilized=is_kept,
            flops_before=100.0,
            flops_after=float(size),
            parameters_before=100,
            parameters_after=size,
        )
        settled(settlement, outcome)
    arms = [settlement.ledger.arm(SPEC, seed, name) for seed, name in enumerate(sizes)]
    assert max(arms, key=lambda arm: arm.mean_reward).blueprint == best


def test_a_reward_counts_by_its_confidence_as_part_of_a_trial() -> None:
    settlement = make_settlement("gain")
    # One measurement of the three that a verdict needs, and an error a third of the gain.
    doubted = replace(make_outcome("mlp"), gain=0.03, gain_error=0.01)
    judged = settled(settlement, doubted)[EventKind.REWARD]
    assert judged.reward.confidence == pytest.approx(0.75 / 3)
    (entry,) = settlement.ledger.entries_of_run()
    assert entry.weight == pytest.approx(0.625)
    assert settlement.ledger.arm(SPEC, 0, "mlp").own_trials == pytest.approx(0.625)
    settled(settlement, replace(doubted, gain=None, gain_error=None, activation=2))
    assert settlement.ledger.arm(SPEC, 0, "mlp").own_trials == pytest.approx(0.625 + 0.5)
