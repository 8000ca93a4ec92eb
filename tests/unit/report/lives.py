"""Seeds with a scripted life, and the events and lines of their run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from esper.contracts.decision import Adaptation, Decision, DecisionKind, Refusal
from esper.contracts.event import (
    Check,
    Event,
    EventKind,
    Gate,
    Judgement,
    KernelBuilt,
    LedgerUpdate,
    LifecycleMove,
    SeedPerformance,
)
from esper.contracts.ledger import SeedHistory
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.plan import Action, Alternative, Plan, SeedChange, Selection
from esper.contracts.stage import SeedStage

S = SeedStage
EPOCHS = 40


@dataclass(frozen=True)
class Activation:
    """One activation: germinated at `born`, a verdict six epochs later."""

    slot: str
    seed: int
    blueprint: str
    born: int
    gain: float
    parameters: int

    @property
    def kept(self) -> bool:
        return self.gain > 0.005

    def stages(self) -> list[tuple[int, SeedStage]]:
        start = [
            (self.born, S.GERMINATED),
            (self.born, S.TRAINING),
            (self.born + 1, S.BLENDING),
            (self.born + 2, S.SHADOWING),
            (self.born + 4, S.PROBATIONARY),
        ]
        if self.kept:
            return [*start, (self.born + 6, S.FOSSILIZED)]
        end = self.born + 6
        rest = [(end, S.CULLED), (end, S.EMBARGOED), (end + 5, S.RESETTING), (end + 5, S.DORMANT)]
        return [*start, *rest]


LIVES = (
    Activation("block1", 0, "mlp", 4, 0.062, 1304),
    Activation("block2", 1, "lora", 7, -0.011, 392),
    Activation("block2", 2, "gated_mlp", 10, 0.031, 2210),
    Activation("head", 0, "frozen_random", 12, 0.001, 0),
    Activation("block1", 3, "affine", 16, -0.004, 96),
    Activation("block2", 1, "squeeze_excite", 19, 0.018, 640),
)


def events_at(epoch: int, lives: tuple[Activation, ...]) -> Iterator[Event]:
    for life in lives:
        if epoch == life.born:
            yield from birth(life)
        previous = S.DORMANT
        for when, stage in life.stages():
            if when == epoch:
                yield Event(epoch=epoch, body=move(life, previous, stage))
            previous = stage
        if epoch in (life.born + 4, life.born + 6):
            yield performance(life, epoch)
        if epoch == life.born + 6:
            yield from verdict(life)
    if epoch % 9 == 8:
        decision = Decision(kind=DecisionKind.ADAPT, slot="head", reason="plateau of 3 epochs")
        body = Refusal(rule="cooldown", reason="slot 'head' rests until 20", decision=decision)
        yield Event(epoch=epoch, body=body)
    else:
        body = Decision(kind=DecisionKind.WAIT, reason="nothing to do")
        yield Event(epoch=epoch, body=body)


def birth(life: Activation) -> Iterator[Event]:
    def event(kind: EventKind, body: Any) -> Event:
        return Event(epoch=life.born, body=body)

    yield event(
        EventKind.DECISION,
        Decision(
            kind=DecisionKind.ADAPT,
            slot=life.slot,
            adaptation=Adaptation.ADD_NEURONS,
            num_seeds=1,
            confidence=0.82,
            reason="the train loss fell by 11.2 % over two windows of 3 epochs (< 15 %)",
        ),
    )
    yield event(
        EventKind.PLAN,
        Plan(
            slot=life.slot,
            kind="diversify",
            changes=(SeedChange(action=Action.GERMINATE),),
            reasoning="one seed with a blueprint not yet in the slot",
        ),
    )
    yield event(
        EventKind.SELECTION,
        Selection(
            strategy="thompson",
            slot=life.slot,
            seed=life.seed,
            blueprint=life.blueprint,
            score=0.71,
            alternatives=(Alternative(seed=3, blueprint="noop", score=0.42),),
            reason="the highest draw of 4",
        ),
    )
    yield event(
        EventKind.KERNEL,
        KernelBuilt(
            slot=life.slot,
            seed=life.seed,
            blueprint=life.blueprint,
            parameters=life.parameters,
            flops=2.0 * life.parameters,
            build_ms=3.25,
        ),
    )


def move(life: Activation, previous: SeedStage, stage: SeedStage) -> LifecycleMove:
    reasons = {
        S.GERMINATED: "asked for by diversify",
        S.FOSSILIZED: f"gain {life.gain:+.4f} is above 0.0050",
        S.CULLED: f"gain {life.gain:+.4f} is not above 0.0050",
    }
    gate = Gate(checks=(Check(name="epochs", passed=True, value=1.0, limit=">= 1"),))
    return LifecycleMove(
        slot=life.slot,
        seed=life.seed,
        blueprint=life.blueprint,
        from_stage=previous,
        to_stage=stage,
        gate=None if stage is S.GERMINATED else gate,
        reason=reasons.get(stage, "gate passed"),
    )


def performance(life: Activation, epoch: int) -> Event:
    return Event(
        epoch=epoch,
        body=SeedPerformance(
            slot=life.slot,
            seed=life.seed,
            blueprint=life.blueprint,
            alpha=1.0,
            age=epoch - life.born,
            ablation=life.gain + 0.02,
            gain=life.gain,
            gain_error=0.004,
            method="twin",
            composite=0.5 + life.gain,
        ),
    )


def verdict(life: Activation) -> Iterator[Event]:
    outcome = Outcome(
        slot=life.slot,
        seed=life.seed,
        slot_kind="dense",
        placement="parallel",
        blueprint=life.blueprint,
        activation=1,
        germinated_epoch=life.born,
        settled_epoch=life.born + 6,
        fossilized=life.kept,
        gain=life.gain,
        gain_error=0.004,
        ablation=life.gain + 0.02,
    )
    reward = Reward(
        total=math.tanh(5 * life.gain),
        components={"accuracy": life.gain, "cost": 0.1},
        confidence=0.8,
        explanation=f"accuracy {life.gain:+.3f} weighs most",
    )
    body = Judgement(outcome=outcome, reward=reward)
    yield Event(epoch=life.born + 6, body=body)
    update = LedgerUpdate(
        slot=life.slot,
        seed=life.seed,
        blueprint=life.blueprint,
        trials=1,
        mean_reward=reward.total,
        standard_error=None,
        reward=reward.total,
        history=history_of(life),
    )
    yield Event(epoch=life.born + 6, body=update)


def history_of(life: Activation) -> SeedHistory:
    """Return what became of the seed of `life` up to its verdict."""
    same = [
        each
        for each in LIVES
        if (each.slot, each.seed) == (life.slot, life.seed) and each.born <= life.born
    ]
    grafts = sum(each.kept for each in same)
    return SeedHistory(
        activations=len(same),
        grafts=grafts,
        failures=len(same) - grafts,
        activated_epoch=life.born,
    )


def epoch_line(epoch: int, lives: tuple[Activation, ...], shift: float) -> dict[str, Any]:
    seeds = [seed for life in lives if (seed := seed_at(epoch, life)) is not None]
    accuracy = 0.97 - 0.6 * math.exp(-epoch / 6) + 0.004 * math.sin(epoch * 1.7) + shift
    grown = sum(life.parameters for life in lives if life.kept and epoch >= life.born)
    return {
        "epoch": epoch,
        "train_loss": 2.1 * math.exp(-epoch / 7) + 0.05,
        "val_loss": 2.1 * math.exp(-epoch / 7) + 0.09,
        "train_accuracy": min(accuracy + 0.012, 1.0),
        "val_accuracy": accuracy,
        "params": 938 + grown,
        "live_seeds": sum(seed["stage"] != "FOSSILIZED" for seed in seeds),
        "flops": 2.0 * (938 + grown),
        "step_ms": 1.21,
        "control_ms": 1.9,
        "attribution_ms": None if epoch < 5 else 9.0,
        "probe_ms": 0.0,
        "checkpoint_ms": 2.5,
        "learning_rate": 0.003,
        "seeds": seeds,
    }


def seed_at(epoch: int, life: Activation) -> dict[str, Any] | None:
    entered = [stage for when, stage in life.stages() if when <= epoch]
    if not entered or entered[-1] in (S.DORMANT, S.EMBARGOED):
        return None
    return {
        "slot": life.slot,
        "seed": life.seed,
        "blueprint": life.blueprint,
        "stage": entered[-1],
        "alpha": {0: 0.0, 1: 0.5}.get(epoch - life.born, 1.0),
        "ablation": life.gain + 0.02 if epoch >= life.born + 4 else None,
        "gain": life.gain if epoch >= life.born + 4 else None,
    }
