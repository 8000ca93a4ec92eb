"""The benchmarks: what they write, and that both sides of a comparison are the same network."""

import copy
import json
from pathlib import Path

import pytest
import torch

from esper.growth.attach import Slotted
from esper.growth.bank import KernelBank
from experiments.benchmarks.__main__ import SECTIONS, measure
from experiments.benchmarks.by_hand import written_by_hand
from experiments.benchmarks.figure import Figure, row, table, write
from experiments.benchmarks.growing import HOSTS, bench_of, grow, host_of, optimizer_of
from experiments.benchmarks.modification import modification
from experiments.benchmarks.signals import signals
from experiments.benchmarks.steps import step
from experiments.benchmarks.timing import ratio, side_by_side


def make_figure(name: str = "step/mlp", value: float = 1.0, goal: float | None = 1.01) -> Figure:
    return Figure(name=name, value=value, unit="x", goal=goal, reference="bare host")


def test_a_row_says_what_was_measured_and_whether_it_is_good_enough() -> None:
    said = row(make_figure(value=1.00456), "python -m experiments.benchmarks dormant")
    assert said.pop("load") >= 0
    assert said == {
        "value": 1.005,
        "unit": "x",
        "goal": 1.01,
        "reference": "bare host",
        "ok": True,
        "command": "python -m experiments.benchmarks dormant",
    }


@pytest.mark.parametrize(
    ("value", "goal", "ok"), [(1.01, 1.01, True), (1.0104, 1.01, False), (9.0, None, None)]
)
def test_a_goal_is_reached_at_its_own_value_and_rounding_helps_nobody(
    value: float, goal: float | None, ok: bool | None
) -> None:
    assert make_figure(value=value, goal=goal).ok is ok


def test_a_section_replaces_its_own_rows_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first = {name: row(make_figure(name), "a") for name in ("a/old", "a/kept")}
    write(path, first, replaced=["a"])
    write(path, {"b": row(make_figure("b"), "b")}, replaced=["b"])
    again = row(make_figure("a/kept", value=2.0), "a")
    write(path, {"a/kept": again}, replaced=["a"])
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written) == ["a/kept", "b"]
    assert written["a/kept"]["value"] == 2.0


def test_the_table_names_what_was_missed() -> None:
    rows = {
        "good": row(make_figure(value=1.0), "c"),
        "bad": row(make_figure(value=1.5), "c"),
        "free": row(make_figure(goal=None), "c"),
    }
    header, good, bad, free = table(rows).splitlines()
    assert header.split() == ["figure", "value", "goal", "reference"]
    assert good.split() == ["good", "1", "x", "<=", "1.01", "ok", "bare", "host"]
    assert bad.split() == ["bad", "1.5", "x", "<=", "1.01", "MISSED", "bare", "host"]
    assert free.split() == ["free", "1", "x", "-", "bare", "host"]


def test_measuring_writes_the_wanted_sections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    sections = {"steps": lambda: [make_figure()], "others": lambda: [make_figure("other")]}
    measure(["steps"], path, sections)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written) == ["step/mlp"]
    assert written["step/mlp"]["command"] == "python -m experiments.benchmarks steps"
    assert "step/mlp" in capsys.readouterr().out
    measure([], path, sections)
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["other", "step/mlp"]


def test_an_unknown_section_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no section 'stepz'"):
        measure(["dormant", "stepz"], tmp_path / "results.json", SECTIONS)
    assert not list(tmp_path.iterdir())


def test_arms_work_equally_often_and_the_ratio_is_paired() -> None:
    calls: list[str] = []

    def arms() -> list:
        return [lambda number: calls.append("a"), lambda number: calls.append("b")]

    a, b = side_by_side(arms, seconds=0.0, copies=2)
    assert len(a) == len(b) > 0
    assert calls.count("a") == calls.count("b") > len(a)
    # Round by round 2, 10 and 1; the ratio of the medians would be 10.
    assert ratio([2.0, 20.0, 30.0], [1.0, 2.0, 30.0]) == 2.0


@pytest.mark.parametrize("name", HOSTS)
def test_the_network_by_hand_is_the_grown_one(name: str) -> None:
    bench = bench_of(name, num_batches=1)
    host = host_of(copy.deepcopy(bench.bare), bench.example)
    grow(host, 4)
    for parameter in host.model.parameters():  # kernels are silent at birth: make them speak
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    by_hand = written_by_hand(bench.bare, host)
    x_B, y_B = bench.batches[0]
    assert not torch.equal(by_hand(x_B), bench.bare(x_B))
    assert torch.equal(by_hand(x_B), host.model(x_B))
    assert sum(p.numel() for p in by_hand.parameters()) == host.num_parameters
    assert not any(isinstance(module, Slotted | KernelBank) for module in by_hand.modules())
    step(by_hand, optimizer_of(by_hand), x_B, y_B)
    assert all(p.grad is not None for p in by_hand.parameters())


def test_a_modification_is_measured_with_and_without_its_twin() -> None:
    plain, twin = modification(rounds=2)
    assert (plain.name, plain.goal, plain.unit) == ("modification/kernel_ready", 5.0, "ms")
    assert (twin.name, twin.ok) == ("modification/with_twin", None)
    assert min(plain.value, twin.value) > 0


def test_a_stream_of_errors_is_told_whole_and_a_healthy_one_in_part() -> None:
    figures = {figure.name: figure for figure in signals(num_signals=20_000)}
    assert set(figures) == {
        f"signals/{stream}_{what}"
        for stream in ("healthy", "failing")
        for what in ("time", "delay_p99")
    }
    assert all(figure.value > 0 for figure in figures.values())
    told = {name: figure.reference.partition(" told")[0] for name, figure in figures.items()}
    assert told["signals/failing_time"].endswith("100%")
    share = int(told["signals/healthy_time"].rpartition(" ")[2].rstrip("%"))
    assert 25 <= share <= 40, "20 % are ready, a few are anomalies, and a tenth of the rest"
