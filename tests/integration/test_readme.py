"""The commands and examples of the README and of `docs/` do what they say."""

import os
import re
import shlex
import subprocess
import sys
from glob import glob
from pathlib import Path

import pytest

from tests.integration.in_process import code_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
CONSOLE = [
    line
    for text in TEXTS.values()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines()
]
PYTHON = {
    f"{name}-{number}": block
    for name, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
}
LOOP = "README.md-0"


def test_the_first_two_commands_are_all_the_set_up_there_is() -> None:
    assert CONSOLE[:2] == ["make train", "make test"]
    for line in CONSOLE[:2]:
        planned = subprocess.run([*line.split(), "-n"], cwd=ROOT, capture_output=True, check=True)
        assert planned.stdout


COMMANDS = [line for line in CONSOLE if not line.startswith("make ")]
INSTALLED = "esper doctor"
"""The command for which a shell looks up `esper`; others differ from it in arguments alone."""


def test_a_command_is_found_by_the_shell() -> None:
    assert INSTALLED in COMMANDS
    # The command of this very environment comes first, whatever else is installed.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = ["bash", "-c", INSTALLED]
    done = subprocess.run(shell, env={**os.environ, "PATH": path}, capture_output=True, check=True)
    assert done.stdout


def test_every_other_command_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(COMMANDS) >= 5
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        assert code_of(*arguments_of(command)) == 0, command
        assert capfd.readouterr().out
    assert list(tmp_path.glob("runs/train/*/report/index.html"))
    assert list(tmp_path.glob("sweeps/smoke/*/sweep.csv"))


def arguments_of(command: str) -> list[str]:
    """Return the arguments as a shell would pass them."""
    name, *words = shlex.split(command)
    assert name == "esper"
    found = [sorted(glob(word)) if "*" in word else [word] for word in words]
    assert all(found), command
    return [argument for each in found for argument in each]


def run_example(name: str, folder: Path) -> str:
    """Run a Python block; return what it prints."""
    script = folder / "example.py"
    script.write_text(PYTHON[name], encoding="utf-8")
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
    printed = run_example(LOOP, tmp_path)
    lines = printed.splitlines()
    epochs = [int(line.split()[1].rstrip(",")) for line in lines if line.startswith("epoch ")]
    assert epochs == list(range(1, 41))
    gained = r"network of epoch \d+: Grower\(epoch 40/40, .*, kept \d/\d \w+, .*\)"
    assert re.fullmatch(gained, lines[-1])
    for sign, stage in zip("+>*x", ("germinated", "blending", "fossilized", "culled"), strict=True):
        move = rf"  {re.escape(sign)} \d seed \d {stage} \(\w+\): \S.*"
        assert any(re.fullmatch(move, line) for line in lines), stage


@pytest.mark.parametrize("name", [name for name in PYTHON if name != LOOP])
def test_every_other_python_example_runs(name: str, tmp_path: Path) -> None:
    run_example(name, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
