"""A sample of the table of options: each option changes what its command does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

INERT = """
from experiments.options.__main__ import told
from experiments.options.row import Row

# The trigger `early` reads no window of slopes.
base = "data=spirals data.num_samples=60 model=mlp training.steps_per_epoch=1 epochs=1"
inert = Row(key="policy/heuristic.slope_window", other="1", base=base, field="metrics.val_loss")
acts = Row(key="training.lr", other="0.02", base=base, field="metrics.val_loss")
raise SystemExit(told([inert, acts]))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_each_option_of_a_sample_acts() -> None:
    done = python("-m", "experiments.options", "--sample", "42")
    assert (done.returncode, done.stdout) == (0, "20 of 20 options act\n"), done.stderr


def test_an_option_without_effect_is_told() -> None:
    done = python("-c", INERT)
    first, last = done.stdout.splitlines()
    assert first.startswith("policy.slope_window=1 changes no metrics.val_loss: esper train data=")
    assert last == "1 of 2 options act"
    assert done.returncode == 1
