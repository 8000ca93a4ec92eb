"""Conditions that cost less run longer, and are compared at the end."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from experiments.choosing import CONDITIONS
from experiments.choosing_longer import base_of, compared, longer


def row(condition: str, rng_seed: int, flops: float, loss: float) -> dict[str, Any]:
    about = {"task": "digits", "condition": condition, "rng_seed": rng_seed}
    kept = {"flops": [1.0], "test_loss": [loss], "test_accuracy": [0.5]}
    return {**about, "flops": flops, "test_loss": loss, "test_accuracy": 0.5, "kept": kept}


def test_the_rows_of_seeds_with_every_condition_count(tmp_path: Path) -> None:
    path = tmp_path / "choosing_digits.json"
    cells: dict[str, Any] = {
        f"digits/20/{each}/{seed}": row(each, seed, 10.0, 1.0)
        for each in CONDITIONS
        for seed in (1, 0)
    }
    cells["digits/20/shipped/7"] = row("shipped", 7, 10.0, 1.0)
    cells["ledger/digits/20/7/1"] = [row("ledger", 7, 10.0, 1.0)]
    path.write_text(json.dumps({"cells": cells}))
    epochs, base = base_of(path, "digits")
    assert epochs == 20
    assert list(base) == list(CONDITIONS)
    assert all([each["rng_seed"] for each in rows] == [0, 1] for rows in base.values())
    with pytest.raises(SystemExit, match="needs runs of text under each condition"):
        base_of(path, "text")


def test_a_cheaper_condition_runs_longer_and_a_dearer_one_as_long() -> None:
    shipped = [row("shipped", 0, 12.0, 1.0), row("shipped", 1, 18.0, 1.0)]
    assert longer(20, shipped, [row("fixed", 0, 10.0, 1.0)]) == 30
    assert longer(20, shipped, [row("fixed", 0, 30.0, 1.0)]) == 20


def test_ends_are_compared() -> None:
    shipped, others = [row("shipped", 0, 12.0, 1.0)], [row("fixed", 0, 6.0, 4.0)]
    found = compared(shipped, others)
    assert found["final_log_loss"][0] == pytest.approx(math.log(1 / 4))
    assert found["log_flops"][0] == pytest.approx(math.log(2))
