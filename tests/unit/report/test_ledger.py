"""The table of a ledger, and the same as values."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from esper.contracts.ledger import LedgerEntry
from esper.report.ledger import ledger_table, ledger_values, shown_run

Make = Callable[..., Any]


def shown(entries: list[LedgerEntry], width: int = 120) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(ledger_table(entries, "my.db"))
    return out.getvalue().splitlines()


@pytest.fixture
def entries(make_entry: Make) -> list[LedgerEntry]:
    return [
        make_entry("0", reward=0.5, loss_reduction=0.032, success=True, run="/runs/one"),
        make_entry("1", reward=1.5, loss_reduction=None, run="/runs/two"),
        make_entry("2", blueprint="depthwise", reward=None, slot_kind="feature_map"),
    ]


def test_a_pool_is_a_row(entries: list[LedgerEntry]) -> None:
    lines = shown(entries)
    assert lines[0] == "my.db  3 entries of 3 runs"
    rows = [line.split() for line in lines]
    a = ["dense", "parallel", "a", "2", "1.000", "0.707", "+3.2", "%", "50.0", "%", "/runs/two"]
    assert a in rows
    assert ["feature_map", "parallel", "depthwise", "1", "-", "-", "-", "0.0", "%", "run"] in rows


def test_task_families_and_reward_models_have_tables_of_their_own(make_entry: Make) -> None:
    kinds = [("image", "gain"), ("image", "sparse"), ("vector", "gain"), ("image", "gain")]
    lines = shown(
        [
            make_entry(str(n), task_family=family, reward_model=model)
            for n, (family, model) in enumerate(kinds)
        ]
    )
    heads = [line.strip() for line in lines if "judged" in line]
    assert heads == [f"{family} tasks, judged by {model}" for family, model in kinds[:3]]
    assert [line.split()[3] for line in lines if line.startswith("dense")] == ["2", "1", "1"]


def test_a_narrow_terminal_loses_no_word(entries: list[LedgerEntry]) -> None:
    lines = shown(entries, width=80)
    assert max(map(len, lines)) <= 80
    assert not any("\u2026" in line for line in lines)


def test_an_empty_ledger_is_shown_as_one() -> None:
    assert shown([])[0] == "my.db  0 entries of 0 runs"


def test_the_values_are_those_of_the_table(entries: list[LedgerEntry]) -> None:
    values = ledger_values(entries)
    assert (values["entries"], values["runs"]) == (3, ["/runs/one", "/runs/two", "run"])
    first, second = values["pools"]
    assert (first["blueprint"], first["trials"], first["mean_reward"]) == ("a", 2, 1.0)
    assert (second["blueprint"], second["rewards"], second["mean_reward"]) == ("depthwise", 0, None)


def test_a_run_in_the_working_directory_is_shown_by_its_path_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_run(str(Path.cwd() / "runs" / "one")) == "runs/one"
    assert shown_run("/elsewhere/one") == "/elsewhere/one"
