"""The page of a training of a policy's network."""

import json
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.report.learning import smoothed
from esper.report.make import report
from esper.rundir.learned import load_learned

NUMBERS = {
    "return": 0.1,
    "waits": 0.7,
    "denied": 0.1,
    "success": 0.5,
    "entropy": 0.6,
    "kl": 0.001,
    "clip_fraction": 0.02,
    "explained_variance": 0.3,
    "value_loss": 0.05,
}


def write(folder: Path, updates: int, **last: Any) -> Path:
    """Write the folder of a training whose last line has some other values."""
    folder.mkdir()
    lines = [{"update": at, **NUMBERS, "refused": ""} for at in range(1, updates + 1)]
    lines[-1] |= last
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "learning.jsonl").write_text(text)
    (folder / "config.json").write_text(json.dumps({"policy": {"name": "gnn"}, "tasks": 9}))
    return folder


def test_a_page_shows_the_curves_the_result_and_what_was_taken_back(tmp_path: Path) -> None:
    folder = write(tmp_path / "played", 7, refused="the divergence is 0.2 <b>", kl=0.25)
    judged = {"tasks": 24, "net_gain": 0.123, "planner": 0.101, "refused_share": 0.1}
    summary = {"status": "finished", "evaluation": judged}
    (folder / "summary.json").write_text(json.dumps(summary))
    files = report([folder])
    page = (folder / "report" / "index.html").read_text()
    assert {file.name for file in files} == {"index.html"} | {
        f"{name}.{kind}"
        for name in ("return", "choices", "policy", "expectation")
        for kind in ("png", "svg")
    }
    assert page.count("<svg") == 4
    for words in ("gnn played", "finished, 7 updates", "0.123", "0.101", "10.0 %"):
        assert words in page
    assert "the divergence is 0.2 &lt;b&gt;" in page


def test_an_unfinished_training_has_a_page_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "played", 1)
    report([folder])
    page = (folder / "report" / "index.html").read_text()
    assert "interrupted, 1 update" in page
    assert "No pass had to be taken back." in page


def test_trainings_stand_beside_runs_without_a_comparison(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, 2) for name in ("one", "two")]
    report(folders)
    assert all((folder / "report" / "index.html").exists() for folder in folders)
    assert not (tmp_path / "report").exists()


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "played", 2)
    with (folder / "learning.jsonl").open("a") as file:
        file.write('{"update": 3}\n')
    with pytest.raises(DataError, match=r"learning.jsonl line 3: no refused"):
        load_learned(folder)


def test_a_smoothed_curve_is_the_mean_of_the_last_five() -> None:
    assert smoothed([1.0, 3.0, 5.0, 7.0, 9.0, 11.0]) == [1.0, 2.0, 3.0, 4.0, 5.0, 7.0]
