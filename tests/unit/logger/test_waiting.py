"""The reason why a run opens no trial is told once, when it has been the same for long."""

from typing import Any

from esper.contracts.decision import Adaptation, Decision, DecisionKind, Refusal
from esper.contracts.event import Event
from esper.contracts.plan import Plan, Selection
from esper.contracts.stage import SeedStage
from esper.logger.waiting import LONG, Waiting


def wait(reason: str, slot: str | None = None) -> Decision:
    return Decision(kind=DecisionKind.WAIT, reason=reason, slot=slot)


def lines(waiting: Waiting, reasons: dict[int, str]) -> dict[int, str]:
    told: dict[int, str] = {}
    for epoch, reason in reasons.items():
        waiting.take(Event(epoch=epoch, body=wait(reason)))
        if (words := waiting.end_epoch(epoch)) is not None:
            told[epoch] = words
    return told


def test_a_reason_is_told_once_at_the_sixth_epoch_in_a_row() -> None:
    waiting = Waiting()
    reasons = {epoch: f"epoch {epoch} of 40 is past 0.6" for epoch in range(25, 41)}
    assert LONG == 6
    assert lines(waiting, reasons) == {30: "~ no trial since epoch 25: epoch 30 of 40 is past 0.6"}


def test_another_reason_or_a_trial_starts_the_count_anew(move: Any) -> None:
    waiting = Waiting()
    assert lines(waiting, dict.fromkeys(range(1, 6), "calm")) == {}
    assert lines(waiting, {6: "full"}) == {}
    assert lines(waiting, dict.fromkeys(range(7, 12), "calm")) == {}
    waiting.take(Event(epoch=12, body=wait("calm")))
    waiting.take(move(epoch=12, to_stage=SeedStage.GERMINATED))
    assert waiting.end_epoch(12) is None
    assert lines(waiting, dict.fromkeys(range(13, 18), "calm")) == {}
    assert lines(waiting, {18: "calm"}) == {18: "~ no trial since epoch 13: calm"}


def test_a_look_at_an_open_trial_is_no_reason_to_wait() -> None:
    waiting = Waiting()
    for epoch in range(1, 9):
        waiting.take(Event(epoch=epoch, body=wait("look again later", slot="block1")))
        assert waiting.end_epoch(epoch) is None
    assert waiting.most() is None


def test_what_stopped_a_request_is_the_reason() -> None:
    adapt = Decision(
        kind=DecisionKind.ADAPT, slot="a", adaptation=Adaptation.ADD_LAYER, reason="flat"
    )
    cull = Decision(kind=DecisionKind.CULL, slot="a", seed=0, reason="no gain")
    stops = {
        "safety: budget: too large": Refusal(rule="budget", reason="too large", decision=adapt),
        "no viable seed": Selection(strategy="ucb", slot="a", reason="no viable seed"),
        "nothing to do": Plan(slot="a", kind="auto", changes=(), reasoning="nothing to do"),
    }
    for reason, body in stops.items():
        waiting = Waiting()
        for each in (adapt, body):
            waiting.take(Event(epoch=1, body=each))
        waiting.end_epoch(1)
        assert waiting.most() == f"1 of 1 epoch: {reason}"
    waiting = Waiting()
    for body in stops.values():
        waiting.take(Event(epoch=1, body=body))
    waiting.end_epoch(1)
    assert waiting.most() == "1 of 1 epoch: safety: budget: too large", "what came first"
    waiting = Waiting()
    waiting.take(Event(epoch=1, body=Refusal(rule="risk", reason="high", decision=cull)))
    waiting.end_epoch(1)
    assert waiting.most() is None, "a verdict opens no trial"


def test_the_reason_of_most_epochs_is_told_with_its_latest_numbers() -> None:
    waiting = Waiting()
    lines(waiting, {1: "too young", 2: "2 of 4 is late", 3: "3 of 4 is late", 4: "4 of 4 is late"})
    assert waiting.most() == "3 of 4 epochs: 4 of 4 is late"


def test_why_a_strategy_refused_its_seeds_is_the_reason_not_the_plan_for_them() -> None:
    waiting = Waiting()
    waiting.take(
        Event(epoch=1, body=Plan(slot="a", kind="auto", changes=(), reasoning="two seeds"))
    )
    waiting.take(Event(epoch=1, body=Selection(strategy="fixed", slot="a", reason="wants none")))
    waiting.take(Event(epoch=1, body=Selection(strategy="fixed", slot="a", reason="another")))
    waiting.end_epoch(1)
    assert waiting.most() == "1 of 1 epoch: wants none"
