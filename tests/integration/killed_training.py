"""Train a policy on tiny tasks, killed at given moments and resumed after each.

Reads from its arguments `planner` or `network`, a folder, and the moments, such as `torn:2`; the
last training is left alone.  Each training is a forked process, so that torch is imported once.
Exits with 0 if every training but the last was killed, and the last one ended well.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import safetensors.torch
import torch

import esper.app.train_policy  # noqa: F401
from esper.run.policy_training import fit, net, reinforce
from esper.run.policy_training.branch_file import BRANCHES
from tests.integration.in_process import code_of
from tests.integration.tiny_policies import NETWORK, use_tiny_tasks

COMMANDS = {"planner": ["train-policy", "tasks=4", "learning.members=8"], "network": NETWORK}
SHARED: dict[str, tuple[Any, str, bool]] = {
    "batch": (torch.Tensor, "backward", True),
    "fsync": (os, "fsync", False),
    "replace": (os, "replace", False),
}
PLACES: dict[str, dict[str, tuple[Any, str, bool]]] = {
    "planner": {
        **SHARED,
        "torn": (fit, "append_record", True),
        "appended": (fit, "append_record", True),
        "saving": (safetensors.numpy, "save_file", False),
        "half_saved": (safetensors.numpy, "save_file", True),
    },
    "network": {
        **SHARED,
        "rename": (os, "rename", True),
        "updated": (reinforce, "update", True),
        "saved": (net, "write_lines", False),
        "saving": (safetensors.torch, "save_file", False),
        "half_saved": (safetensors.torch, "save_file", True),
    },
}
"""Functions that moments count, and whether the process is killed after the call, or before it."""


def main(policy: str, folder: Path, moments: list[str]) -> None:
    """Train in a folder until the last training ends; exit with a message if one went wrong."""
    torch.set_num_threads(1)
    use_tiny_tasks(pytest.MonkeyPatch())
    for moment in [*moments, "never:1"]:
        child = os.fork()
        if child == 0:
            arm(policy, folder, *moment.split(":"))
            os._exit(start(policy, folder))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != (0 if moment == "never:1" else -signal.SIGKILL):
            sys.exit(f"{moment}: exit code {code}")


def start(policy: str, folder: Path) -> int:
    """Start the training of a folder, or resume it."""
    if (folder / ".hydra" / "command.json").exists():
        return code_of("train-policy", "--resume", str(folder))
    return code_of(*COMMANDS[policy], f"hydra.run.dir={folder}")


def arm(policy: str, folder: Path, what: str, number: str) -> None:
    """Kill this process at the `number`-th time that `what` happens."""
    if what == "never":
        return
    owner, name, is_after = PLACES[policy][what]
    real: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        is_now = next(calls) == int(number)
        if is_now and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if is_now and what == "torn":
            path = folder / BRANCHES
            os.truncate(path, path.stat().st_size - 25)
        if is_now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
