"""The summary of a run, from lines written by hand."""

from typing import Any

from esper.run.summary import summarise
from tests.unit.scripted import make_grower


def line(val_accuracy: float) -> dict[str, Any]:
    times = (
        "train_ms",
        "evaluation_ms",
        "attribution_ms",
        "probe_ms",
        "checkpoint_ms",
        "control_ms",
    )
    numbers = ("train_loss", "val_loss", "flops")
    return {**dict.fromkeys((*times, *numbers), 1.0), "val_accuracy": val_accuracy}


def test_the_validation_accuracy_of_the_read_out_is_that_of_its_epoch() -> None:
    grower, _ = make_grower()
    lines = [line(0.5), line(0.7), line(0.9)]
    found = summarise(grower, lines, {"read_out_epoch": 2}, num_samples=1)
    assert found["read_out_val_accuracy"] == 0.7
    assert found["best_val_accuracy"] == 0.9
