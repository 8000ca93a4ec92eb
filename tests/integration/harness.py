"""Run the real command line in separate processes, and read the files that it writes.

A network of a few hundred weights trains in a second, but importing torch takes longer, so
independent runs go two at a time.
"""

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Json = dict[str, Any]
WORKERS = 2
TIMEOUT_S = 120


@dataclass(frozen=True)
class Done:
    """A finished command, which ran in the folder `cwd`."""

    cwd: Path
    code: int
    out: str
    err: str

    @property
    def run(self) -> "Run":
        """The only run under `runs/`."""
        assert self.code == 0, self.err
        (folder,) = self.cwd.glob("runs/*/*")
        return Run(folder)

    @property
    def refusal(self) -> str:
        """The one line of its error, without `error: `."""
        assert self.code == 1, f"exit code {self.code}\n{self.out}\n{self.err}"
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")


@dataclass(frozen=True)
class Run:
    """The folder of a run; each of its files is read once."""

    path: Path

    @cached_property
    def metrics(self) -> list[Json]:
        """The lines of `metrics.jsonl`."""
        return lines_of(self.path / "metrics.jsonl")

    @cached_property
    def events(self) -> list[Json]:
        """The lines of `events.jsonl`."""
        return lines_of(self.path / "events.jsonl")

    @cached_property
    def summary(self) -> Json:
        """The values of `summary.json`."""
        summary: Json = strict_json((self.path / "summary.json").read_text(encoding="utf-8"))
        return summary

    def of(self, kind: str) -> list[Json]:
        """Return the events of a kind, in order."""
        return [event for event in self.events if event["kind"] == kind]

    def moves(self, stage: str) -> list[Json]:
        """Return the moves to a stage, in order."""
        return [event for event in self.of("lifecycle") if event["to_stage"] == stage]

    def tried(self, stage: str) -> set[tuple[str, str]]:
        """Return the (slot, blueprint) pairs that reached a stage."""
        return {(move["slot"], move["blueprint"]) for move in self.moves(stage)}


def lines_of(path: Path) -> list[Json]:
    """Return the lines of a JSONL file; each must be whole and hold no NaN."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [strict_json(line) for line in text.splitlines()]


def strict_json(text: str) -> Any:
    """Return the value of a JSON text; NaN and infinities, which JSON lacks, are refused."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def esper(
    cwd: Path,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Done:
    """Run a command in a fresh process with its own hash seed, logged out of W&B.

    Args:
        cwd: working directory, created if it does not exist.
        arguments: of the command, without its name.
        env: variables in addition to those of this process.
        before: called in the new process before the command starts.
    """
    cwd.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "esper", *arguments],
        cwd=cwd,
        env=_environment(cwd) | dict(env or {}),
        preexec_fn=before,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    return Done(cwd, done.returncode, done.stdout, done.stderr)


def esper_all(
    folder: Path, commands: Mapping[str, Sequence[str]], env: Mapping[str, str] | None = None
) -> dict[str, Done]:
    """Run each command in a folder of its name, two at a time; return the results."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = {
            name: pool.submit(esper, folder / name, args, env) for name, args in commands.items()
        }
        return {name: done.result() for name, done in waiting.items()}


def esper_forked(
    folder: Path, commands: Mapping[str, Sequence[str]], env: Mapping[str, str] | None = None
) -> dict[str, Done]:
    """Do the same as `esper_all` in forked processes, which is faster for many short commands."""
    for name in commands:
        (folder / name).mkdir(parents=True, exist_ok=True)
    requests = [
        {
            "name": name,
            "cwd": str(folder / name),
            "arguments": list(arguments),
            "env": _environment(folder / name) | dict(env or {}),
        }
        for name, arguments in commands.items()
    ]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
        input=json.dumps(requests),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=TIMEOUT_S * (1 + len(commands)),
    )
    return {
        name: Done(
            folder / name,
            code,
            (folder / f"{name}.out").read_text(encoding="utf-8"),
            (folder / f"{name}.err").read_text(encoding="utf-8"),
        )
        for name, code in json.loads(done.stdout).items()
    }


def _environment(cwd: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WANDB_", "ESPER_")) and name != "PYTHONHASHSEED"
    }
    return {
        **kept,
        "COLUMNS": "160",
        "GIT_CEILING_DIRECTORIES": str(cwd.parent),
        "NETRC": str(cwd / "netrc"),
        "WANDB_CONFIG_DIR": str(cwd / "wandb-config"),
        "WANDB_CACHE_DIR": str(cwd / "wandb-cache"),
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every plain value of nested JSON with its path, `seeds/0/alpha`."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, f"{path}/{key}" if path else str(key))
    else:
        yield path, value


def is_rising(values: Sequence[float]) -> bool:
    """Return whether no value is below the one before it."""
    pairs = itertools.pairwise(values)
    return all(math.isfinite(a) and a <= b for a, b in pairs)
