import hashlib
from pathlib import Path

import pytest

from esper.contracts.errors import CheckpointError
from esper.rundir.seal import RecordSeals, check_seals


def test_a_seal_holds_length_and_checksum_and_follows_the_files(tmp_path: Path) -> None:
    seals = RecordSeals(tmp_path)
    metrics, events = tmp_path / "metrics.jsonl", tmp_path / "events.jsonl"
    nothing = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    assert seals.take() == {"metrics.jsonl": nothing, "events.jsonl": nothing}
    for content in (b"one\n", b"one\ntwo\n", b"one\ntwo\nthree\n"):
        metrics.write_bytes(content)
        sealed = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert seals.take() == {"metrics.jsonl": sealed, "events.jsonl": nothing}
    events.write_bytes(b"x")
    assert seals.take()["events.jsonl"]["bytes"] == 1
    assert RecordSeals(tmp_path).take() == seals.take()


def test_what_was_added_since_is_no_damage(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    check_seals(tmp_path, RecordSeals(tmp_path).take())
    metrics.write_bytes(b"one\n")
    sealed = RecordSeals(tmp_path).take()
    metrics.write_bytes(b"one\ntwo\n")
    check_seals(tmp_path, sealed)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"onf\ntwo\n", "fails its checksum: it was changed"),
        (b"two\none\n", "fails its checksum: it was changed"),
        (b"one\n", "must hold the 8 bytes .* holds 4: it was cut or removed"),
        (b"", "must hold the 8 bytes .* holds 0"),
        (None, "must hold the 8 bytes .* holds 0"),
    ],
)
def test_damage_is_named(content: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\ntwo\n")
    sealed = RecordSeals(tmp_path).take()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"events\.jsonl {why}"):
        check_seals(tmp_path, sealed)
