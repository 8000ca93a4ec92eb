"""Metric names are paths; unknown values are omitted, not zero."""

from dataclasses import replace
from typing import Any

from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.event import (
    Event,
    Judgement,
    LedgerUpdate,
    PolicyUpdate,
    Recovery,
    SeedPerformance,
)
from esper.contracts.ledger import SeedHistory
from esper.contracts.outcome import Reward
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.logger.scalars import EventNumbers, scalars
from tests.unit.policy.builders import make_outcome


def test_a_line_becomes_paths_and_unknowns_are_left_out(line: Any) -> None:
    numbers = scalars(line(train_accuracy=float("nan")))
    assert numbers == {
        "train/loss": 0.5,
        "val/loss": 0.25,
        "val/accuracy": 0.875,
        "train/learning_rate": 0.003,
        "network/params": 1930,
        "network/flops": 2e6,
        "network/live_seeds": 1,
        "time/step_ms": 1.5,
        "time/control_ms": 2.0,
        "time/probe_ms": 0.0,
        "time/checkpoint_ms": 0.0,
        "slot/block2/1/stage": 3,
        "slot/block2/1/alpha": 0.5,
        "slot/block2/1/gain": 0.03,
    }


def test_decisions_moves_grafts_and_failures_are_counted(move: Any) -> None:
    numbers = EventNumbers()
    wait = Decision(kind=DecisionKind.WAIT, reason="calm")
    refused = Refusal(rule="cooldown", reason="rests", decision=wait)
    for body in (wait, wait, refused, failed("fallback", 3), failed("circuit_breaker", 1)):
        numbers.take(Event(epoch=1, body=body))
    numbers.take(move(to_stage=SeedStage.CULLED))
    numbers.take(move(to_stage=SeedStage.FOSSILIZED))
    counted = {
        "decisions/wait": 2,
        "decisions/refused": 1,
        "lifecycle/culled": 1,
        "lifecycle/fossilized": 1,
        "blueprint/lora/grafts": 1,
        "blueprint/mlp/failures": 3,
    }
    assert numbers.of_epoch() == counted
    assert numbers.of_epoch() == counted, "counters stay"


def test_what_is_known_of_an_arm_is_reported_in_its_epoch_alone() -> None:
    numbers = EventNumbers()
    update = LedgerUpdate(
        slot="",
        seed=1,
        blueprint="mlp",
        trials=1,
        mean_reward=-0.25,
        standard_error=None,
        reward=-0.25,
        history=SeedHistory(activations=2, failures=1, activated_epoch=1),
    )
    numbers.take(Event(epoch=2, body=update))
    numbers.take(Event(epoch=2, body=PolicyUpdate(policy="p", values={"p/penalty/mlp": 2.0})))
    numbers.take(Event(epoch=2, body=look(composite=0.625)))
    assert numbers.of_epoch() == {
        "ledger/host/mlp/trials": 1,
        "ledger/host/mlp/mean_reward": -0.25,
        "ledger/host/mlp/reward": -0.25,
        "p/penalty/mlp": 2.0,
        "slot/host/1/activations": 2,
        "slot/host/1/grafts": 0,
        "slot/host/1/failures": 1,
        "slot/host/1/activated_epoch": 1,
        "slot/block2/1/composite": 0.625,
    }
    assert numbers.of_epoch() == {}


def test_what_a_plan_expects_is_reported_beside_the_measured_gain() -> None:
    numbers = EventNumbers()
    gains = {0: 0.05, 1: 0.02}
    changes = tuple(
        SeedChange(action=Action.GERMINATE, seed=seed, blueprint="mlp", expected_gain=gain)
        for seed, gain in gains.items()
    )
    plan = Plan(
        slot="block2", kind="auto", changes=changes, reasoning="", expected_improvement=0.05
    )
    numbers.take(Event(epoch=2, body=plan))
    assert numbers.of_epoch() == {"plan/block2/expected_gain": 0.05}
    for seed, gain in ((1, 0.03), (0, 0.01)):
        outcome = replace(
            make_outcome("mlp"), slot="block2", seed=seed, germinated_epoch=2, gain=gain
        )
        numbers.take(Event(epoch=8, body=Judgement(outcome=outcome, reward=Reward(total=0.1))))
        assert numbers.of_epoch() == {"plan/block2/measured_gain": gain}
    broken = replace(outcome, gain=0.9, rolled_back=True)
    numbers.take(Event(epoch=9, body=Judgement(outcome=broken, reward=Reward(total=-1.0))))
    assert numbers.of_epoch() == {}, "a gain from before a rollback does not count"


def failed(strategy: str, count: int) -> Recovery:
    return Recovery(
        where="kernel",
        error="ValueError",
        strategy=strategy,
        recovered=False,
        message="",
        blueprint="mlp",
        count=count,
    )


def look(composite: float | None) -> SeedPerformance:
    return SeedPerformance(
        slot="block2",
        seed=1,
        blueprint="mlp",
        alpha=1.0,
        age=4,
        ablation=None,
        gain=None,
        gain_error=None,
        method="muting",
        composite=composite,
    )
