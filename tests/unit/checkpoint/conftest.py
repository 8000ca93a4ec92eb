"""Fixture: the folder of a written checkpoint."""

from pathlib import Path

import pytest

from esper.checkpoint.format import write
from tests.unit.checkpoint.trees import FACTS, TREE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "last", TREE, FACTS)
    return tmp_path / "last"
