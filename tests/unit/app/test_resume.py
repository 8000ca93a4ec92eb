"""What is taken up again: a run, a sweep with its jobs, and what is told where there is neither."""

import os
from pathlib import Path

import pytest

from esper.app.resume import Command, command_of, is_taken_up, taking_up
from esper.contracts.errors import ConfigError
from esper.rundir.layout import COMMAND, write_json


def test_a_sweep_is_taken_up_with_its_jobs_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_taken_up(Path("sweep"))
    with taking_up(tmp_path / "sweep"):
        assert is_taken_up(Path("sweep"))
        assert is_taken_up(tmp_path / "sweep" / "0")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "sweep").mkdir()
        (tmp_path / "sweep" / "1").symlink_to(tmp_path / "elsewhere")
        assert is_taken_up(Path("sweep/1"))
        assert not is_taken_up(tmp_path / "other")
        with taking_up(tmp_path / "other"):
            assert not is_taken_up(Path("sweep"))
        assert is_taken_up(Path("sweep"))
    assert not is_taken_up(Path("sweep"))


def test_processes_of_a_launcher_know_what_is_taken_up(tmp_path: Path) -> None:
    with taking_up(tmp_path):
        assert str(tmp_path) in os.environ.values()
    assert str(tmp_path) not in os.environ.values()


def refusal_of(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        command_of(folder)
    return str(refused.value)


def test_a_folder_of_runs_is_refused_and_the_latest_of_them_are_named(tmp_path: Path) -> None:
    tmp_path /= "runs"
    for number in range(7):
        folder = tmp_path / f"run{number}" / ".hydra"
        folder.mkdir(parents=True)
        write_json(folder / COMMAND, {})
    (tmp_path / "notes").mkdir()
    assert refusal_of(tmp_path) == (
        f"{tmp_path} cannot be resumed: it is no folder of a run or a sweep of "
        "Esper's; in it are run2, run3, run4, run5, run6 and 2 more"
    )
    assert "in it are runs/run2, " in refusal_of(tmp_path.parent)
    with pytest.raises(ConfigError, match=r"Esper's$"):
        command_of(tmp_path / "notes")


def test_the_last_of_two_values_for_a_key_is_replaced_like_the_only_one(tmp_path: Path) -> None:
    command = Command(tmp_path, tmp_path, (), ("epochs=3", "rng_seed=1", "epochs=9"), False)
    place = f"hydra.run.dir='{tmp_path}'"
    assert command.arguments([]) == ["epochs=9", "rng_seed=1", place]
    assert command.arguments(["epochs=12"]) == ["epochs=12", "rng_seed=1", place]
