"""What `esper doctor --kernels` shows of the cache, and that it can be emptied."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from esper.app import doctor_kernels
from esper.cli import app
from esper.kernels.build import BuildMode
from esper.kernels.cache import VerdictCache
from esper.kernels.key import key_of
from esper.kernels.make import Maker
from esper.kernels.options import Kernels
from tests.unit.kernels.builders import make_request


def fill(folder: Path) -> None:
    """Leave a current entry, one of another version of torch, and one that is corrupt."""
    options = Kernels(cache_dir=str(folder), disk_mb=1)
    cache = VerdictCache(options)
    maker = Maker(options, cache)
    for name in ("mlp", "affine"):
        maker.make(make_request(name), BuildMode(privately=True))
    key = key_of(make_request("affine"))
    assert key is not None
    known = cache.get(key)
    assert known is not None
    cache.put({**key, "torch": "1.0"}, known.verdict)
    assert cache._disk is not None
    cache._disk._path(key).write_text("{}")


def doctor(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_every_entry_is_listed_with_what_it_is_of_and_whether_it_is_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    fill(tmp_path)
    lines = doctor("--kernels", "--folder", str(tmp_path)).splitlines()
    rows = {line.split()[0]: line for line in lines if line.startswith("  ") and line.strip()}
    assert rows["mlp"].split() == [
        "mlp", "1", "dense", "series", "4", "->", "4", "float32", "cpu", "current",
    ]  # fmt: skip
    assert "stale: another torch" in rows["affine"]
    assert "corrupt: it has not the fields of an entry" in rows["?"]
    assert any(
        line.startswith("3 entries, 0.00 MiB: 1 current, 1 stale, 1 corrupt") for line in lines
    )
    assert f"esper doctor --kernels --folder {tmp_path} --clear" in lines[-1]


def test_it_can_be_emptied(tmp_path: Path) -> None:
    fill(tmp_path)
    told = doctor("--kernels", "--folder", str(tmp_path), "--clear")
    assert told.startswith("3 entries removed from")
    assert list(tmp_path.iterdir()) == []
    assert "0 entries" in doctor("--kernels", "--folder", str(tmp_path))


def test_without_a_folder_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fill(tmp_path / "esper" / "kernels")
    assert "3 entries" in doctor("--kernels")


def test_a_long_list_is_cut_and_all_of_it_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_kernels, "MOST_ENTRIES", 1)
    fill(tmp_path)
    told = doctor("--kernels", "--folder", str(tmp_path))
    assert "3 entries" in told
    assert "the 1 used last" in told


def test_emptying_is_no_flag_of_the_plain_doctor() -> None:
    done = CliRunner().invoke(app, ["doctor", "--clear"])
    assert done.exit_code != 0
    assert "go with --kernels" in done.output
