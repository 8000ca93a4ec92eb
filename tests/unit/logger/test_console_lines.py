"""One line an epoch, aligned, and one a change that matters."""

from typing import Any

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event, KernelBuilt, SeedPerformance
from esper.contracts.stage import SeedStage
from esper.logger.console_lines import HEADER, EventLines, epoch_line


def kernel(error: str | None = None) -> Event:
    body = KernelBuilt(
        slot="block2",
        seed=1,
        blueprint="lora",
        parameters=392,
        flops=1.0,
        build_ms=1.0,
        error=error,
    )
    return Event(epoch=3, body=body)


def performance(gain: float | None) -> Event:
    body = SeedPerformance(
        slot="block2",
        seed=1,
        blueprint="lora",
        alpha=1.0,
        ablation=0.02,
        gain=gain,
        gain_error=None if gain is None else 0.004,
        method="twin",
    )
    return Event(epoch=8, body=body)


def test_columns_stand_under_their_heads(line: Any) -> None:
    row = epoch_line(line(epoch=3), 40)
    assert row == "     3/40      0.5000      0.2500    87.5 %         1,930     1"
    assert len(row) == len(HEADER)
    unknown = epoch_line(line(epoch=40, train_loss=None, val_accuracy=None, params=None), None)
    assert len(unknown) == len(HEADER)
    assert unknown.split() == ["40", "-", "0.2500", "-", "-", "1"]


def test_a_germination_names_its_kernel_and_a_verdict_its_gain(move: Any) -> None:
    words = EventLines()
    assert words.of(kernel()) is None
    germinated = words.of(move(to_stage=SeedStage.GERMINATED, reason="asked for"))
    assert germinated == "+ block2 seed 1 germinated (lora, 392 parameters): asked for"
    assert words.of(move(to_stage=SeedStage.SHADOWING)) is None
    assert words.of(performance(-0.011)) is None
    culled = words.of(move(to_stage=SeedStage.CULLED, reason="not above 0"))
    assert culled == "x block2 seed 1 culled (lora, gain -1.1 % +- 0.4 by twin): not above 0"


def test_the_gain_of_an_earlier_activation_is_not_told_again(move: Any) -> None:
    words = EventLines()
    words.of(performance(0.05))
    words.of(move(to_stage=SeedStage.GERMINATED))
    assert words.of(move(to_stage=SeedStage.CULLED, reason="")) == "x block2 seed 1 culled (lora)"


def test_a_seed_without_gain_is_told_by_its_ablation(move: Any) -> None:
    words = EventLines()
    words.of(performance(None))
    told = words.of(move(to_stage=SeedStage.FOSSILIZED, reason="kept", slot="block2"))
    assert told == "* block2 seed 1 fossilized (lora, ablation +2.0 %): kept"


def test_a_refused_kernel_is_told_and_a_wait_is_not() -> None:
    words = EventLines()
    assert words.of(kernel("shape (4,)")) == "! block2 seed 1: lora refused: shape (4,)"
    wait = Decision(kind=DecisionKind.WAIT, reason="calm")
    assert words.of(Event(epoch=1, body=wait)) is None


def test_the_slot_without_a_name_is_the_host(move: Any) -> None:
    told = EventLines().of(move(slot="", to_stage=SeedStage.BLENDING))
    assert told == "> host seed 1 blending (lora): gate passed"
