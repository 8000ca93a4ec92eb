"""The README's commands and examples do what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [
    line
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_two_commands_are_all_the_set_up_there_is() -> None:
    assert CONSOLE[:2] == ["make train", "make test"]
    for line in CONSOLE[:2]:
        planned = subprocess.run([*line.split(), "-n"], cwd=ROOT, capture_output=True, check=True)
        assert planned.stdout


def test_every_other_command_runs_as_written(tmp_path: Path) -> None:
    commands = [line for line in CONSOLE if not line.startswith("make ")]
    assert len(commands) >= 5
    # The command of this very environment comes first, whatever else is installed.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert done.stdout
    assert list(tmp_path.glob("runs/train/*/report/index.html"))
    assert list(tmp_path.glob("sweeps/smoke/*/sweep.csv"))


def run_example(number: int, folder: Path) -> str:
    """Run the README's Python blocks up to `number`, as one reads them; return what they print."""
    script = folder / "example.py"
    script.write_text("\n\n".join(PYTHON[: number + 1]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_loop_grows_its_network(tmp_path: Path) -> None:
    told = run_example(0, tmp_path)
    assert len(told.splitlines()) == 20
    for stage in ("GERMINATED", "BLENDING", "SHADOWING", "PROBATIONARY", "FOSSILIZED"):
        assert stage in told


@pytest.mark.parametrize("number", range(1, len(PYTHON)))
def test_every_other_python_example_runs_after_it(number: int, tmp_path: Path) -> None:
    run_example(number, tmp_path)
