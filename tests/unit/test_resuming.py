"""What is taken up again: a run, a sweep with its jobs, and what is told where there is neither."""

import os
from pathlib import Path

import pytest

from esper.contracts.errors import ConfigError
from esper.paths import COMMAND, write_json
from esper.resuming import command_of, is_taken_up, taking_up


def test_a_sweep_is_taken_up_with_its_jobs_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_taken_up(Path("sweep"))
    with taking_up(tmp_path / "sweep"):
        assert is_taken_up(Path("sweep"))
        assert is_taken_up(tmp_path / "sweep" / "0")
        assert not is_taken_up(tmp_path / "other")
        with taking_up(tmp_path / "other"):
            assert not is_taken_up(Path("sweep"))
        assert is_taken_up(Path("sweep"))
    assert not is_taken_up(Path("sweep"))


def test_processes_of_a_launcher_know_what_is_taken_up(tmp_path: Path) -> None:
    with taking_up(tmp_path):
        assert str(tmp_path) in os.environ.values()
    assert str(tmp_path) not in os.environ.values()


def test_a_folder_of_runs_is_refused_and_the_latest_of_them_are_named(tmp_path: Path) -> None:
    for number in range(7):
        folder = tmp_path / f"run{number}" / ".hydra"
        folder.mkdir(parents=True)
        write_json(folder / COMMAND, {})
    (tmp_path / "notes").mkdir()
    with pytest.raises(ConfigError) as refused:
        command_of(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} cannot be resumed: it holds no run of Esper's (looked for "
        ".hydra/command.json and command.json); in it are run6, run5, run4, run3, run2"
    )
    with pytest.raises(ConfigError, match=r"\.json\)$"):
        command_of(tmp_path / "notes")
