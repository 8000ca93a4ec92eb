"""The file of measured branches: torn lines are cut off, others must be whole."""

import json
from pathlib import Path

import pytest

from esper.contracts.errors import DataError
from esper.run.policy_training.branch_file import append_record, open_records


def test_records_are_read_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    path = tmp_path / "branches.jsonl"
    records = [{"task": 7, "gain": 1 / 3}, {"task": 8, "gain": None}]
    assert open_records(path, 7) == []
    for record in records:
        append_record(path, record)
    assert open_records(path, 7) == records
    assert [json.loads(line) for line in path.read_text().splitlines()] == records


@pytest.mark.parametrize("kept", range(1, 14))
def test_a_torn_last_line_is_cut_off_wherever_it_is_torn(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "branches.jsonl"
    append_record(path, {"task": 7})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"task": 8}\n'[: kept % 12])
    assert open_records(path, 7) == [{"task": 7}]
    assert path.read_bytes() == whole


def test_a_file_of_one_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "branches.jsonl"
    path.write_bytes(b'{"ta')
    assert open_records(path, 7) == []
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"task": 7}\n{"task"\n{"task": 9}\n', "line 2: not valid JSON"),
        ('{"task": 7}\n{"task": 9}\n', "line 2: must be task 8"),
        ("[]\n", "line 1: must be task 7"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "branches.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        open_records(path, 7)


def test_nothing_that_is_no_json_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        append_record(tmp_path / "branches.jsonl", {"task": 7, "gain": float("nan")})
    assert not (tmp_path / "branches.jsonl").exists()
