"""The command line that resumes a run or a sweep, and the refusal where there is neither."""

from pathlib import Path

import pytest

from esper.app.resume import command_to_resume, one_folder
from esper.contracts.errors import ConfigError
from esper.rundir.layout import COMMAND, HYDRA, write_json


def refusal_of(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        command_to_resume(folder, [])
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
        command_to_resume(tmp_path / "notes", [])


def test_a_report_beside_a_run_is_no_second_folder(tmp_path: Path) -> None:
    run, page, other = (tmp_path / name for name in ("run", "report", "other"))
    for folder in (run, page, other):
        folder.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    assert one_folder(run, [str(page), "epochs=9"]) == (run, ["epochs=9"])
    assert one_folder(page, ["epochs=9", str(run)]) == (run, ["epochs=9"])
    assert one_folder(page, ["epochs=9"]) == (page, ["epochs=9"]), "refused when it is resumed"
    with pytest.raises(ConfigError, match=r"takes one folder, got 2: .*run to .*other"):
        one_folder(run, [str(page), str(other)])
    # A run that holds a page of its own is a run.
    write_json(other / "summary.json", {})
    (other / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match="got 2"):
        one_folder(run, [str(other)])


def resumed(folder: Path, overrides: list[str], further: list[str]) -> list[str]:
    """Return the command line that resumes a run which was started with `overrides`."""
    (folder / HYDRA).mkdir(exist_ok=True)
    command = {"cwd": str(folder), "flags": [], "overrides": overrides}
    write_json(folder / HYDRA / COMMAND, command)
    arguments, cwd = command_to_resume(folder, further)
    assert cwd == folder
    return arguments


def test_the_last_of_two_values_for_a_key_is_replaced_like_the_only_one(tmp_path: Path) -> None:
    before = ["epochs=3", "rng_seed=1", "epochs=9"]
    place = [f"hydra.run.dir='{tmp_path}'", "++hydra.callbacks.job_callback.resumes=true"]
    assert resumed(tmp_path, before, []) == ["epochs=9", "rng_seed=1", *place]
    assert resumed(tmp_path, before, ["epochs=12"]) == ["epochs=12", "rng_seed=1", *place]


def test_another_option_of_a_group_replaces_the_keys_of_the_one_before(tmp_path: Path) -> None:
    before = ["logger=wandb", "logger.project=mine", "epochs=3"]
    assert resumed(tmp_path, before, ["logger=none"])[:-2] == ["logger=none", "epochs=3"]


def test_a_run_whose_start_folder_is_gone_is_resumed_from_here(tmp_path: Path) -> None:
    (tmp_path / HYDRA).mkdir()
    command = {"cwd": str(tmp_path / "gone"), "flags": ["--config-dir", "/own"], "overrides": []}
    write_json(tmp_path / HYDRA / COMMAND, command)
    arguments, cwd = command_to_resume(tmp_path, [])
    assert cwd == Path.cwd()
    assert arguments[:2] == ["--config-dir", "/own"]
