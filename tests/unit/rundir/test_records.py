"""What was written is read back; what is missing or broken is named with its file and line."""

from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.rundir.records import load_run


def test_a_run_is_read_back_whole(tmp_path: Path, make_run: Any) -> None:
    run = load_run(make_run(tmp_path / "digits" / "1"))
    assert run.config["model"]["num_seeds"] == 4
    assert [line["epoch"] for line in run.metrics] == list(range(1, 41))
    assert run.last_epoch == 40
    assert run.summary is not None
    assert run.summary["seeds_germinated"] == 6
    assert len(run.of_kind("reward")) == 6
    assert run.name == "digits 1"


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl", ".hydra/config.yaml"])
def test_a_missing_file_is_named(name: str, tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    (path / name).unlink()
    with pytest.raises(DataError) as raised:
        load_run(path)
    assert str(raised.value) == f"{path / name} is missing: is {path} a run directory?"


def test_a_torn_last_line_is_left_out_while_the_run_is_unfinished(
    tmp_path: Path, make_run: Any
) -> None:
    path = make_run(tmp_path / "run", epochs=5, finished=False)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 6, "train_lo')
    run = load_run(path)
    assert run.last_epoch == 5
    assert run.summary is None


def test_a_torn_last_line_of_a_finished_run_is_an_error(tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    with (path / "events.jsonl").open("a") as file:
        file.write('{"epoch": 6, "ki')
    number = len((path / "events.jsonl").read_text().split("\n"))
    with pytest.raises(DataError, match=rf"events\.jsonl line {number}: not valid JSON"):
        load_run(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "not valid JSON"),
        ("", "not valid JSON"),
        ("[1]", "not an object"),
        ('{"epoch": "1", "kind": "plan"}', "no epoch or no kind"),
        ('{"epoch": 1, "kind": "ledger", "slot": "a", "seed": 0}', "ledger without blueprint, "),
    ],
)
def test_a_broken_line_in_the_middle_is_named_even_while_the_run_goes_on(
    line: str, problem: str, tmp_path: Path, make_run: Any
) -> None:
    path = make_run(tmp_path / "run", epochs=5, finished=False)
    lines = (path / "events.jsonl").read_text().split("\n")
    (path / "events.jsonl").write_text("\n".join([lines[0], line, *lines[1:]]))
    with pytest.raises(DataError, match=f"events.jsonl line 2: {problem}"):
        load_run(path)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("summary.json", '{"status": ', "summary.json: not valid JSON"),
        ("summary.json", "[]", "summary.json: must hold one object, holds a list"),
        (".hydra/config.yaml", "a: [1\nb: 2", r"config.yaml line 2: not valid YAML"),
        (".hydra/config.yaml", "- 1", r"config.yaml: must hold a dict, holds a list"),
    ],
)
def test_a_broken_file_is_named(
    name: str, text: str, problem: str, tmp_path: Path, make_run: Any
) -> None:
    path = make_run(tmp_path / "run")
    (path / name).write_text(text)
    with pytest.raises(DataError, match=problem) as raised:
        load_run(path)
    assert "\n" not in str(raised.value).split("(")[0]


def test_no_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run at .*gone: not a folder"):
        load_run(tmp_path / "gone")
