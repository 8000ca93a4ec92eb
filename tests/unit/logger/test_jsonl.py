"""The run's own record: whole lines, written when an epoch ends, truncated on resume."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import CheckpointError, EsperError
from esper.logger.bus import EventBus
from esper.logger.jsonl import Jsonl
from esper.rundir.records import cut_back


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_events_wait_for_the_end_of_their_epoch(tmp_path: Path, move: Any, line: Any) -> None:
    sink = Jsonl(tmp_path)
    sink.start({})
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    sink.event(move(epoch=1))
    assert (tmp_path / "events.jsonl").read_text() == ""
    sink.epoch(line(epoch=1, train_loss=float("nan")))
    assert [event["epoch"] for event in read(tmp_path / "events.jsonl")] == [1]
    [metrics] = read(tmp_path / "metrics.jsonl")
    assert metrics["train_loss"] is None
    assert metrics["seeds"][0]["stage"] == "BLENDING"
    sink.event(move(epoch=2))
    sink.close(None)
    assert [event["epoch"] for event in read(tmp_path / "events.jsonl")] == [1, 2]


def test_many_events_of_one_epoch_are_not_kept_in_memory(tmp_path: Path, move: Any) -> None:
    sink = Jsonl(tmp_path)
    sink.start({})
    for _ in range(1_500):
        sink.event(move())
    assert len(read(tmp_path / "events.jsonl")) == 1_000


def test_a_resumed_run_appends(tmp_path: Path, line: Any) -> None:
    for epoch in (1, 2):
        sink = Jsonl(tmp_path)
        sink.start({})
        sink.epoch(line(epoch=epoch))
        sink.close(None)
    assert [record["epoch"] for record in read(tmp_path / "metrics.jsonl")] == [1, 2]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_stops_the_run_and_names_the_file(tmp_path: Path, line: Any) -> None:
    bus = EventBus(Jsonl(tmp_path))
    bus.start({})
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(EsperError) as raised:
        bus.epoch(line())
    path = tmp_path / "metrics.jsonl"
    assert str(raised.value) == f"cannot write {path}: No space left on device"
    bus.close(None)


def test_a_folder_that_is_gone_is_told_at_the_start(tmp_path: Path) -> None:
    bus = EventBus(Jsonl(tmp_path / "gone"))
    with pytest.raises(EsperError, match=r"gone/metrics\.jsonl: No such file or directory"):
        bus.start({})


def test_cutting_back_drops_later_and_torn_lines_and_keeps_the_rest_as_they_were(
    tmp_path: Path, move: Any, line: Any
) -> None:
    sink = Jsonl(tmp_path)
    sink.start({})
    for epoch in (1, 2, 3):
        sink.event(move(epoch=epoch))
        sink.epoch(line(epoch=epoch))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"epoch": 2, "train_lo')
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"epoch": 1}')
    lines = cut_back(tmp_path, epoch=2)
    assert [line["epoch"] for line in lines] == [1, 2]
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(before.splitlines(True)[:2])
    assert [event["epoch"] for event in read(tmp_path / "events.jsonl")] == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "metrics.jsonl"]


def test_cutting_back_a_run_that_wrote_nothing_gives_no_lines(tmp_path: Path) -> None:
    assert cut_back(tmp_path, epoch=0) == []
    with pytest.raises(CheckpointError, match="must hold the lines of epochs 1 to 3"):
        cut_back(tmp_path, epoch=3)
    assert list(tmp_path.iterdir()) == []
