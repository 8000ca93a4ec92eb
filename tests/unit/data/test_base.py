"""Data sets as values, and options that import nothing heavy."""

import subprocess
import sys

from esper.data.spirals import Spirals

LIGHT = """
import sys
import esper.data.digits, esper.data.spirals, esper.data.text
heavy = {"torch", "sklearn", "numpy"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_every_part_moves_to_a_device() -> None:
    moved = Spirals(num_samples=60).load().to("meta")
    for part in (moved.train, moved.val, moved.test):
        assert part.x.device.type == part.y.device.type == "meta"
    assert len(moved.train) == 36


def test_options_import_nothing_heavy() -> None:
    command = [sys.executable, "-c", LIGHT]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
