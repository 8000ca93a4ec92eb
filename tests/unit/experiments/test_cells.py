"""Cells are run once, in any number of attempts."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import cells as module
from experiments.cells import Cells, key_of


def note(folder: str, name: str, number: int) -> dict[str, Any]:
    """Leave a file, so that a second run of the same cell is seen."""
    path = Path(folder) / f"{name}-{number}"
    path.touch(exist_ok=False)
    if name == "bad":
        raise ValueError("on purpose")
    return {"twice": 2 * number}


def test_a_key_names_the_parts_of_its_cell() -> None:
    assert key_of(("digits", 0.5, 3)) == "digits/0.5/3"


def test_what_the_file_holds_is_not_run_again(tmp_path: Path) -> None:
    path, folder = tmp_path / "out.json", str(tmp_path)
    cells = Cells(path, "first", {"a": 1})
    assert cells.fill(note, [(folder, "a", 1), (folder, "a", 2)], processes=1) == [
        {"twice": 2},
        {"twice": 4},
    ]
    again = Cells(path, "second", {"a": 1})
    wanted = [(folder, "a", 3), (folder, "a", 2)]
    assert again.fill(note, wanted, processes=1) == [{"twice": 6}, {"twice": 4}]
    again.write(table=[1, 2])
    written = json.loads(path.read_text())
    assert written["command"] == "second"
    assert written["table"] == [1, 2]
    assert len(written["cells"]) == len(again.results) == 3


def test_a_cell_that_fails_loses_no_other(tmp_path: Path) -> None:
    path, folder = tmp_path / "out.json", str(tmp_path)
    with pytest.raises(ValueError, match="on purpose"):
        Cells(path, "c").fill(note, [(folder, "a", 1), (folder, "bad", 1)], processes=1)
    assert list(Cells(path, "c").results.values()) == [{"twice": 2}]


@pytest.mark.parametrize("what", ["settings", "commit"])
def test_results_of_another_kind_are_not_mixed_in(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    Cells(path, "c", {"epochs": 4}).write()
    if what == "commit":
        monkeypatch.setattr(module, "git_sha", lambda: "another")
    with pytest.raises(SystemExit, match=f"holds results of {what} .*move it away"):
        Cells(path, "c", {"epochs": 4 if what == "commit" else 5})
