"""The table of `growth_pays`, by hand."""

from pathlib import Path
from typing import Any

import pytest

from experiments.growth_figure import draw
from experiments.growth_pays import best_size
from experiments.growth_table import pooled, shown, table
from experiments.tasks import SIZES

ARMS = ("grown", "host", "host, equal FLOPs", "host, equal seconds", "final", "sweep", "halving")
SIZE_ARMS = [f"x{size:g}{suffix}" for size in SIZES for suffix in ("", ", equal FLOPs")]


def result(arm: str, accuracy: float, **values: Any) -> dict[str, Any]:
    costs = {"params": 10, "epochs": 4, "flops": 1e6, "processor_s": 2.0, "peak_memory_mb": 100.0}
    return {"arm": arm, "test_accuracy": accuracy, "test_loss": 1 - accuracy, **costs, **values}


RUNS = [
    [result("grown", 0.9), result("host", 0.8, processor_s=1.0)],
    [result("grown", 0.7), result("host", 0.8, processor_s=3.0, peak_memory_mb=None)],
    [result("grown", 0.8), result("host", 0.5, processor_s=5.0)],
]


def test_differences_are_paired_by_rng_seed() -> None:
    rows = table(RUNS)
    host = rows["host"]
    assert host["test_accuracy"]["mean"][0] == pytest.approx(0.7)
    # Differences 0.1, -0.1, 0.3.
    value, low, high = host["test_accuracy"]["grown_minus_arm"]
    assert value == pytest.approx(0.1)
    assert low == pytest.approx(-0.1)
    assert high == pytest.approx(0.3)
    assert host["test_loss"]["grown_minus_arm"][0] == pytest.approx(-0.1)
    assert host["probability_of_improvement"] == pytest.approx(2 / 3)
    assert host["mean_processor_s"] == 3.0
    assert host["mean_peak_memory_mb"] is None, "one was not measured"
    assert rows["grown"]["test_accuracy"]["grown_minus_arm"] == [0, 0, 0]
    assert rows["grown"]["mean_peak_memory_mb"] == 100.0


def test_tasks_weigh_the_same_and_an_arm_may_lack_in_one() -> None:
    one = [[result("grown", 0.9), result("host", 0.5)]]
    other = [[result("grown", 0.6), result("best size", 0.7), result("host", 0.6)]] * 5
    rows = pooled({"one": one, "other": other})
    assert rows["host"]["test_accuracy"][0] == pytest.approx(0.2)
    assert rows["host"]["probability_of_improvement"] == 0.75
    assert rows["best size"]["test_accuracy"][0] == pytest.approx(-0.1)


def test_the_best_size_has_the_lowest_validation_loss_at_equal_flops() -> None:
    def run(losses: dict[str, float]) -> list[dict[str, Any]]:
        by_arm = dict.fromkeys(SIZE_ARMS, 9.0) | losses
        return [result(arm, 0.5, val_loss=loss) for arm, loss in by_arm.items()]

    # x2 is best in one run, x4 on average; x8 only at equal epochs.
    runs = [
        run({"x2, equal FLOPs": 0.1, "x4, equal FLOPs": 0.3, "x8": 0.0}),
        run({"x2, equal FLOPs": 0.9, "x4, equal FLOPs": 0.4, "x8": 0.0}),
    ]
    assert best_size(runs) == 4.0


def test_table_and_figure_are_drawn(tmp_path: Path) -> None:
    values = {arm: 0.5 + 0.02 * number for number, arm in enumerate((*ARMS, *SIZE_ARMS))}
    runs = [[result(arm, value + seed / 100) for arm, value in values.items()] for seed in (0, 1)]
    tasks = {"digits": {"best_size": 4.0, "arms": table(runs)}}
    lines = list(shown({"tasks": tasks, "all_tasks": pooled({"digits": runs})}))
    assert lines[0] == "digits (best size on tuning seeds: x4)"
    assert lines[2].split()[:5] == ["grown", "0.5050", "+0.00", "[+0.00,", "+0.00]"]
    host = next(line for line in lines if line.startswith("  host "))
    assert "-2.00 [-2.00, -2.00]" in host
    paths = draw(tasks, tmp_path / "figure")
    assert [path.name for path in paths] == ["figure.png", "figure.svg"]
    svg = paths[1].read_text(encoding="utf-8")
    assert svg.count("processor seconds") >= 1
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
