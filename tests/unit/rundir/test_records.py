"""The state of a folder, and its records; what is missing or broken is named with its file."""

import json
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.rundir.layout import CHECKPOINTS, COMMAND, HYDRA, write_json
from esper.rundir.lock import is_locked, lock_run_dir
from esper.rundir.records import RunState, is_run, load_overrides, load_run, state_of


def test_a_run_is_read_back_whole(tmp_path: Path, make_run: Any) -> None:
    run = load_run(make_run(tmp_path / "digits" / "1"))
    assert run.config["model"]["num_seeds"] == 4
    assert [line["epoch"] for line in run.metrics] == list(range(1, 41))
    assert run.last_epoch == 40
    assert run.summary is not None
    assert run.summary["seeds_germinated"] == 6
    assert len(run.of_kind("reward")) == 6
    assert run.name == "digits 1"


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_missing_file_is_named(name: str, tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    (path / name).unlink()
    with pytest.raises(DataError) as raised:
        load_run(path)
    assert str(raised.value) == f"{path / name} is missing: is {path} a run directory?"


def test_the_training_of_a_policy_is_told_from_a_run(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    command = {"flags": ["--config-name", "train_policy"]}
    (tmp_path / ".hydra" / "command.json").write_text(json.dumps(command))
    (tmp_path / "summary.json").write_text("{}")
    hints = {"": "its numbers are in summary.json", "learning.jsonl": "esper report"}
    for name, hint in hints.items():
        if name:
            (tmp_path / name).touch()
        with pytest.raises(DataError, match="is the training of a policy, which has no") as raised:
            load_run(tmp_path)
        assert hint in str(raised.value)


def test_a_run_without_config_json_is_of_an_earlier_version(tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    (path / "config.json").unlink()
    with pytest.raises(DataError) as raised:
        load_run(path)
    assert str(raised.value) == (
        f"{path} holds no config.json: the run is of an earlier version of Esper"
    )


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
        ("config.json", "{", "config.json: not valid JSON"),
        ("config.json", "[1]", "config.json: must hold one object, holds a list"),
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


def test_a_run_that_was_stopped_before_its_first_epoch_is_read_as_it_is(
    tmp_path: Path, make_run: Any
) -> None:
    path = make_run(tmp_path / "run")
    for name in ("metrics.jsonl", "events.jsonl", "summary.json"):
        (path / name).unlink()
    (path / "checkpoints").mkdir()
    run = load_run(path)
    assert (run.state, run.metrics, run.events) == (RunState.INTERRUPTED, (), ())


def test_a_run_that_never_began_says_why(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"status": "failed", "error": "lr must be > 0"})
    with pytest.raises(DataError, match=r"nothing to read: failed before it began: lr must be > 0"):
        load_run(tmp_path)


def test_no_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run at .*gone: it does not exist"):
        load_run(tmp_path / "gone")


def test_a_folder_without_files_of_a_run_holds_none(tmp_path: Path) -> None:
    assert state_of(tmp_path / "gone") is state_of(tmp_path) is RunState.EMPTY
    with pytest.raises(DataError, match=r"no run at .*: the folder is empty"):
        load_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert state_of(tmp_path) is state_of(tmp_path / "notes.txt") is RunState.FOREIGN
    assert not is_run(tmp_path)
    with pytest.raises(DataError, match=r"no run at .*: the folder holds no file of a run"):
        load_run(tmp_path)


@pytest.mark.parametrize("mark", ["metrics.jsonl", "events.jsonl", f"{HYDRA}/{COMMAND}"])
def test_a_run_that_began_and_left_no_summary_was_interrupted(mark: str, tmp_path: Path) -> None:
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).write_text("")
    assert state_of(tmp_path) is RunState.INTERRUPTED
    assert is_run(tmp_path)


def test_checkpoints_alone_are_those_of_an_interrupted_run(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINTS).mkdir()
    assert state_of(tmp_path) is RunState.INTERRUPTED


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.FAILED, RunState.INTERRUPTED])
def test_a_summary_says_how_its_run_ended(state: RunState, tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"status": state})
    assert state_of(tmp_path) is state


@pytest.mark.parametrize("text", ['{"status": "fin', '{"status": "good"}', "{}", "[]"])
def test_a_summary_that_names_no_state_is_that_of_an_interrupted_run(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "summary.json").write_text(text)
    assert state_of(tmp_path) is RunState.INTERRUPTED


def test_a_run_whose_folder_is_locked_is_running(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    with lock_run_dir(tmp_path):
        assert is_locked(tmp_path)
        assert state_of(tmp_path) is RunState.RUNNING
    assert not is_locked(tmp_path)
    assert state_of(tmp_path) is RunState.INTERRUPTED


@pytest.mark.parametrize(
    ("text", "problem"), [("[a", "not valid YAML"), ("a: 1", "must hold a list, holds a dict")]
)
def test_broken_overrides_are_named(text: str, problem: str, tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run", overrides=("epochs=3",))
    assert load_overrides(path) == ["epochs=3"]
    (path / ".hydra" / "overrides.yaml").write_text(text)
    with pytest.raises(DataError, match=f"overrides.yaml: {problem}"):
        load_overrides(path)
