"""No logger is an option like the others."""

from pathlib import Path

from esper.logger.none import NoLogger


def test_it_tells_nobody(tmp_path: Path) -> None:
    assert NoLogger().build(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
