import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from esper.contracts.event import Check, Gate
from esper.kernels import disk
from esper.kernels.disk import CorruptEntryError, DiskCache, default_folder
from esper.kernels.validate import ProbeResult

ROOM = 2**20


def make_key(number: int = 0) -> dict[str, object]:
    return {"blueprint": "mlp", "number": number}


def make_verdict(parameters: int = 76) -> ProbeResult:
    checks = (
        Check(name="gradient", passed=True, value=0.1 + 0.2, limit="> 0"),
        Check(name="shape", passed=False, value=None, limit="(4,)"),
    )
    return ProbeResult(
        parameters=parameters, trainable=3, latency_ms=0.25, gate=Gate(checks=checks)
    )


def file_of(cache: DiskCache) -> Path:
    (path,) = cache.folder.iterdir()
    return path


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    cache = DiskCache(tmp_path / "not" / "there", ROOM)
    cache.write(make_key(), make_verdict())
    return cache


def test_what_is_written_is_read_to_the_last_bit(cache: DiskCache) -> None:
    assert DiskCache(cache.folder, ROOM).read(make_key()) == make_verdict()
    assert cache.read(make_key(1)) is None


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert DiskCache(tmp_path / "none", ROOM).read(make_key()) is None
    assert disk.entries(tmp_path / "none") == []
    assert disk.clear(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda text: b"", "it is no JSON"),
        (lambda text: text[: len(text) // 2], "it is no JSON"),
        (lambda text: b"[" * 100_000, "it is no JSON"),
        (lambda text: b"\xff\xfe" + text, "it is no JSON"),
        (lambda text: b'{"key": NaN}', "it is no JSON: NaN is no number"),
        (lambda text: b"[]", "it has not the fields of an entry"),
        (lambda text: text.replace(b'"checksum"', b'"sum"'), "it has not the fields of an entry"),
        (lambda text: text.replace(b"76", b"77"), "its checksum differs"),
        (lambda text: text.replace(b'"passed": false', b'"passed": true'), "its checksum differs"),
        (lambda text: text.replace(b'"mlp"', b'"mlq"'), "its checksum differs"),
    ],
)
def test_a_damaged_file_is_found_out_and_is_gone(
    cache: DiskCache, damage: object, problem: str
) -> None:
    assert callable(damage)
    path = file_of(cache)
    path.write_bytes(damage(path.read_bytes()))
    (entry,) = disk.entries(cache.folder)
    assert entry.key is None
    assert str(entry.problem).startswith(problem)
    with pytest.raises(CorruptEntryError, match=problem.partition(":")[0]):
        cache.read(make_key())
    assert cache.read(make_key()) is None
    assert list(cache.folder.iterdir()) == []


def test_a_file_under_the_name_of_another_key_is_found_out(cache: DiskCache) -> None:
    other = cache._path(make_key(1))
    file_of(cache).rename(other)
    (entry,) = disk.entries(cache.folder)
    assert entry.problem == "it is named after another key"
    with pytest.raises(CorruptEntryError, match="it holds another key"):
        cache.read(make_key(1))


def test_a_whole_file_without_a_verdict_is_found_out(cache: DiskCache) -> None:
    body = {"key": make_key(), "verdict": {"parameters": 3}}
    whole = {**body, "checksum": disk.checksum(body)}
    file_of(cache).write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(CorruptEntryError, match="it holds no verdict"):
        cache.read(make_key())


def test_the_entries_not_read_for_longest_go_when_the_folder_is_full(tmp_path: Path) -> None:
    size = DiskCache(tmp_path / "one", ROOM)
    size.write(make_key(), make_verdict())
    one = file_of(size).stat().st_size
    cache = DiskCache(tmp_path / "full", int(3.5 * one))
    for number in range(3):
        cache.write(make_key(number), make_verdict())
        os.utime(cache._path(make_key(number)), (number, number))
    cache.read(make_key(0))
    DiskCache(cache.folder, cache.max_bytes).write(make_key(3), make_verdict())
    left = [number for number in range(4) if cache.read(make_key(number)) is not None]
    assert left == [0, 2, 3], "0 was read last, 1 was the oldest"


def test_the_folder_stays_within_its_size_over_many_writes(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 20_000)
    for number in range(300):
        cache.write(make_key(number), make_verdict())
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    one = cache._path(make_key(299)).stat().st_size
    assert size <= 20_000 + disk._SWEEP_EVERY * one


def test_what_a_killed_process_left_is_shown_and_cleared(cache: DiskCache) -> None:
    left = cache.folder / "tmpabc.part"
    left.write_text("{")
    (cache.folder / "notes.txt").write_text("mine")
    problems = {entry.path.suffix: entry.problem for entry in disk.entries(cache.folder)}
    assert problems == {".json": None, ".part": "it was never finished"}
    DiskCache(cache.folder, ROOM).write(make_key(1), make_verdict())
    assert left.exists(), "it may be being written"
    os.utime(left, (0, 0))
    DiskCache(cache.folder, ROOM).write(make_key(1), make_verdict())
    assert not left.exists()
    assert disk.clear(cache.folder) == 2
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]


def test_a_full_disk_leaves_no_half_of_a_file(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        cache.write(make_key(1), make_verdict())
    assert len(list(cache.folder.iterdir())) == 1


def write_and_read(folder: Path) -> int:
    """Write and read the same 20 keys over and over, in a folder with room for about ten."""
    cache, found = DiskCache(folder, 8_000), 0
    for turn in range(100):
        key = make_key(turn % 20)
        cache._num_writes = 0
        cache.write(key, make_verdict(turn % 20))
        verdict = cache.read(key)
        assert verdict is None or verdict.parameters == turn % 20
        found += verdict is not None
    return found


def test_several_that_write_and_remove_at_once_never_see_half_a_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(write_and_read, [tmp_path] * 3))
    assert min(found) > 50
    assert all(entry.problem is None for entry in disk.entries(tmp_path))


def test_the_usual_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/esper/kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path("/home/me/.cache/esper/kernels")
