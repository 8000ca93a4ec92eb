"""Files are written at once, beside whatever else is in their folder."""

from pathlib import Path

import pytest

from esper.rundir.layout import write_json


def test_a_file_is_replaced_and_its_neighbours_are_left(tmp_path: Path) -> None:
    (tmp_path / "m.part").write_text("of someone else")
    (tmp_path / "m.json").write_text("old")
    write_json(tmp_path / "m.json", {"new": 1})
    assert {path.name for path in tmp_path.iterdir()} == {"m.part", "m.json"}
    assert (tmp_path / "m.part").read_text() == "of someone else"
    assert (tmp_path / "m.json").read_text() == '{\n  "new": 1\n}\n'


def test_what_cannot_be_written_leaves_the_old_content(tmp_path: Path) -> None:
    (tmp_path / "m.json").mkdir()
    with pytest.raises(OSError, match=r"m\.json"):
        write_json(tmp_path / "m.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]
