"""The last words hold every number that a user looks for, and survive what is unknown."""

from typing import Any

from esper.logger.console_lines import final_lines

SUMMARY: dict[str, Any] = {
    "status": "finished",
    "epochs": 40,
    "test_accuracy": 0.957,
    "test_loss": 0.1432,
    "best_val_accuracy": 0.9712,
    "best_before_growth": 0.9412,
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


def test_what_grew_what_it_brought_what_it_cost_and_where_it_lies() -> None:
    assert final_lines(SUMMARY) == [
        "Finished after 40 epochs: test accuracy 95.7 % (best validation 97.1 %).",
        "Grew 1 kernel: 1,000 -> 1,500 parameters (+50.0 %).",
        "  block2 seed 0: mlp, 500 parameters, gain +3.2 %",
        "Validation accuracy +3.0 points against the best before growth (94.1 %), "
        "the host's own progress included.",
        "Cost: 1.32 GFLOPs of training, 1 min 21 s, 2 of 3 trials culled, "
        "3.1 % of the time for control, 1 rollback.",
        "Results: runs/digits/1",
        "Report:  esper report runs/digits/1",
    ]


def test_a_run_in_which_nothing_grew_says_so() -> None:
    lines = final_lines(SUMMARY | {"grown": [], "params_final": 1000, "best_before_growth": None})
    assert lines[1] == (
        "Nothing grew for good: 3 kernels tried, 1,000 -> 1,000 parameters (+0.0 %)."
    )
    assert not any("before growth" in line for line in lines)


def test_a_network_without_accuracy_is_told_by_its_loss() -> None:
    known = {"test_accuracy": None, "best_val_accuracy": None}
    assert final_lines(SUMMARY | known)[0] == "Finished after 40 epochs: test loss 0.1432."


def test_a_summary_in_which_all_is_unknown_still_has_last_words() -> None:
    assert final_lines(dict.fromkeys(SUMMARY))
    assert final_lines({})[-1] == ("Cost: unknown FLOPs of training, -, 0 of 0 trials culled.")
    assert final_lines({"status": "interrupted", "epochs": 1})[0] == "Interrupted after 1 epoch."
