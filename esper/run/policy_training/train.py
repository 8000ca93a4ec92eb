"""Train a policy in a folder: what all trainings share.

Everything that is written, but the times and the place in `summary.json`, depends on the
configuration and the store alone: neither on the number of processes nor on where a training was
stopped and resumed.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path
from types import FrameType
from typing import Any

from esper.contracts.errors import InterruptionError
from esper.run.policy_training.config import (
    PolicyTraining,
    command_of,
    deciding_values,
    record_of,
)
from esper.run.policy_training.fit import fit_gains
from esper.run.policy_training.net import train_net
from esper.run.summary import versions
from esper.rundir.layout import CONFIG, SUMMARY, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState

Tell = Callable[[int, dict[str, Any]], None]
"""Takes the number of finished tasks or updates, and the record of the last one."""


def train_policy(config: PolicyTraining, run_dir: Path, tell: Tell) -> dict[str, Any]:
    """Train the policy of a configuration in a folder, and return its summary.

    A folder that holds a part of the same training is continued.

    Raises:
        InterruptionError: if SIGINT or SIGTERM stops it; the work in hand is dropped.
        EsperError: if another process trains there, the store or the folder cannot be used, or
            there is nothing to learn from.
    """
    with lock_run_dir(run_dir), _stopped_by_signals(run_dir):
        began_s = time.monotonic()
        (run_dir / SUMMARY).unlink(missing_ok=True)
        write_json(run_dir / CONFIG, record_of(config))
        train = train_net if config.trains_net else fit_gains
        model, facts = train(config, run_dir, tell)
        about = {"command": command_of(config), "config": deciding_values(config), **facts}
        model.save(run_dir / config.policy_name, {**about, "versions": versions()})
        summary = {
            "status": RunState.FINISHED.value,
            "policy": config.policy_name,
            **facts,
            "wall_s": time.monotonic() - began_s,
            "versions": versions(),
        }
        write_json(run_dir / SUMMARY, summary)
        return summary


@contextmanager
def _stopped_by_signals(run_dir: Path) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the `with` block at once, with an InterruptionError.

    The processes that measure end first, because a pool waits for the work that they have begun.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    except KeyboardInterrupt as error:
        words = f"interrupted; to continue: esper train-policy --resume {run_dir}"
        raise InterruptionError(words) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    for process in active_children():
        process.terminate()
    raise KeyboardInterrupt
