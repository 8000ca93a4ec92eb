from pathlib import Path

import pytest

from esper.kernels.cache import VerdictCache
from esper.kernels.options import Kernels
from tests.unit.kernels.test_disk import make_key, make_verdict


def make_cache(folder: Path, **options: object) -> VerdictCache:
    return VerdictCache(Kernels(cache_dir=str(folder), **options))  # type: ignore[arg-type]


def test_a_verdict_comes_from_memory_and_after_a_restart_from_disk(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    assert cache.get(make_key()) is None
    cache.put(make_key(), make_verdict())
    again = cache.get(make_key())
    assert again is not None
    assert (again.verdict, again.load_ms) == (make_verdict(), None)
    later = make_cache(tmp_path)
    loaded, kept = later.get(make_key()), later.get(make_key())
    assert loaded is not None
    assert kept is not None
    assert loaded.verdict == make_verdict()
    assert loaded.load_ms is not None
    assert loaded.load_ms > 0
    assert kept.load_ms is None


def test_memory_keeps_the_entries_used_last() -> None:
    cache = VerdictCache(Kernels(memory_entries=2, disk_mb=0))
    for number in (0, 1):
        cache.put(make_key(number), make_verdict())
    cache.get(make_key(0))
    cache.put(make_key(2), make_verdict())
    assert [cache.get(make_key(number)) is not None for number in range(3)] == [True, False, True]


def test_nothing_is_remembered_where_nothing_may_be(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, memory_entries=0, disk_mb=0)
    cache.put(make_key(), make_verdict())
    assert cache.get(make_key()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_entry_is_told_once_and_is_not_there(tmp_path: Path) -> None:
    make_cache(tmp_path).put(make_key(), make_verdict())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"76", b"77"))
    cache = make_cache(tmp_path)
    assert cache.get(make_key()) is None
    assert cache.get(make_key()) is None
    (told,) = cache.incidents
    assert (told.where, told.error, told.strategy, told.recovered) == (
        "cache", "CorruptEntry", "retry", True,
    )  # fmt: skip
    assert told.message == (
        "the cached verdict on 'mlp' is of no use: its checksum differs; a probe is validated again"
    )


def test_a_verdict_that_proves_wrong_is_forgotten_in_memory_and_on_disk(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.put(make_key(), make_verdict())
    cache.distrust(make_key(), "it counts 1 parameter, a kernel has 2")
    assert cache.get(make_key()) is None
    assert list(tmp_path.iterdir()) == []
    assert "it counts 1 parameter" in cache.incidents[0].message


def test_a_disk_that_fails_is_told_once_and_memory_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = make_cache(tmp_path / "file" / "kernels")
    for number in range(2):
        cache.put(make_key(number), make_verdict())
    assert cache.get(make_key(1)) is not None
    (told,) = cache.incidents
    assert (told.where, told.strategy, told.error) == ("cache", "degrade", "NotADirectoryError")
    assert "kernels.disk_mb=0 uses none" in told.message


def test_without_a_home_there_is_no_disk_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    cache = VerdictCache(Kernels())
    cache.put(make_key(), make_verdict())
    assert cache.get(make_key()) is not None
    assert "home directory" in cache.incidents[0].message
