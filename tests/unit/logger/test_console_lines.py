"""One aligned line per epoch, one per important event, and every number of the result."""

from typing import Any

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event, KernelBuilt, SeedPerformance
from esper.contracts.stage import SeedStage
from esper.logger.console_lines import HEADER, EventLines, epoch_line, final_lines, ledger_line

SUMMARY: dict[str, Any] = {
    "status": "finished",
    "epochs": 40,
    "test_accuracy": 0.957,
    "test_loss": 0.1432,
    "best_val_accuracy": 0.9712,
    "read_out_epoch": 31,
    "read_out_val_accuracy": 0.9684,
    "cost_ratio": 1.1812,
    "params_initial": 1000,
    "params_final": 1500,
    "train_flops": 1.32e9,
    "wall_s": 81.4,
    "control_fraction": 0.031,
    "seeds_germinated": 3,
    "seeds_culled": 2,
    "rollbacks": 1,
    "run_dir": "runs/digits/1",
    "grown": [{"slot": "block2", "seed": 0, "blueprint": "mlp", "parameters": 500, "gain": 0.032}],
}


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
        age=4,
        ablation=0.02,
        gain=gain,
        gain_error=None if gain is None else 0.004,
        method="muting",
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
    assert culled == "x block2 seed 1 culled (lora, gain -1.1 % +- 0.4 by muting): not above 0"


def test_the_gain_of_an_earlier_activation_is_not_told_again(move: Any) -> None:
    words = EventLines()
    words.of(performance(0.05))
    words.of(move(to_stage=SeedStage.GERMINATED))
    assert words.of(move(to_stage=SeedStage.CULLED, reason="")) == "x block2 seed 1 culled (lora)"


def test_a_seed_without_gain_is_told_by_its_ablation(move: Any) -> None:
    words = EventLines()
    words.of(performance(None))
    text = words.of(move(to_stage=SeedStage.FOSSILIZED, reason="kept", slot="block2"))
    assert text == "* block2 seed 1 fossilized (lora, ablation +2.0 %): kept"


def test_a_refused_kernel_is_told_and_a_wait_is_not() -> None:
    words = EventLines()
    assert words.of(kernel("shape (4,)")) == "! block2 seed 1: lora refused: shape (4,)"
    wait = Decision(kind=DecisionKind.WAIT, reason="calm")
    assert words.of(Event(epoch=1, body=wait)) is None


def test_the_slot_without_a_name_is_the_host(move: Any) -> None:
    text = EventLines().of(move(slot="", to_stage=SeedStage.BLENDING))
    assert text == "> host seed 1 blending (lora): gate passed"


def test_what_grew_what_it_brought_what_it_cost_and_where_it_lies() -> None:
    assert final_lines(SUMMARY) == [
        "Finished after 40 epochs: test accuracy 95.7 % with the network of epoch 31 "
        "(validation 96.8 %).",
        "Grew 1 kernel: 1,000 -> 1,500 parameters (+50.0 %).",
        "  block2 seed 0: mlp, 500 parameters, gain +3.2 %",
        "Cost: 1.32 GFLOPs of training, 1.18 times those of its network trained plainly, "
        "1 min 21 s, 2 of 3 trials culled, 3.1 % of the time for control, 1 rollback.",
        "Results: runs/digits/1",
        "Report:  esper report runs/digits/1",
    ]


def test_a_run_in_which_nothing_grew_says_so() -> None:
    lines = final_lines(SUMMARY | {"grown": [], "params_final": 1000})
    assert lines[1] == (
        "Nothing grew for good: 3 kernels tried, 1,000 -> 1,000 parameters (+0.0 %)."
    )


def test_a_network_without_accuracy_is_told_by_its_loss() -> None:
    known = {"test_accuracy": None, "best_val_accuracy": None}
    assert final_lines(SUMMARY | known)[0] == "Finished after 40 epochs: test loss 0.1432."


def test_a_summary_in_which_all_is_unknown_still_has_last_words() -> None:
    assert final_lines(dict.fromkeys(SUMMARY))
    assert final_lines({})[-1] == ("Cost: unknown FLOPs of training, -, 0 of 0 trials culled.")
    assert final_lines({"status": "interrupted", "epochs": 1})[0] == "Interrupted after 1 epoch."


def test_what_was_read_of_a_shared_ledger_is_told_with_its_moment() -> None:
    snapshot = {"file": "s", "runs": 1, "run": "/r", "launcher": None, "taken_s": 86400.0}
    summary = SUMMARY | {"ledger_entries_read": 2, "ledger_snapshot": snapshot}
    words = "read 2 ledger entries of 1 run as of 1970-01-02 00:00:00 UTC"
    assert ledger_line(summary) == words
    assert f"R{words[1:]}." in final_lines(summary)
    orders = {"basic": "one after another", "joblib": "side by side"}
    for launcher, order in orders.items():
        told = summary | {"ledger_snapshot": snapshot | {"launcher": launcher}}
        assert ledger_line(told) == f"{words}, jobs {order}"
    partly = summary | {"ledger_snapshot": snapshot | {"taken_s": None, "comparable": 1}}
    counted = "(1 of this task family and reward model)"
    assert ledger_line(partly) == f"read 2 ledger entries of 1 run {counted}"
    all_count = summary | {"ledger_snapshot": snapshot | {"comparable": 2}}
    assert ledger_line(all_count) == words
    unknown = summary | {"ledger_snapshot": snapshot | {"taken_s": None}}
    assert ledger_line(unknown) == "read 2 ledger entries of 1 run"
    assert ledger_line(SUMMARY) is None
    assert ledger_line(SUMMARY | {"ledger_entries_read": 0, "ledger_snapshot": None}) is None
