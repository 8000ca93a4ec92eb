"""Train the gain model of a policy: measure tasks, fit, evaluate, write the model's files.

Everything that is written, but the times and the place in `summary.json`, depends on the
configuration and the store alone: neither on the number of processes nor on where a training was
stopped and resumed.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from multiprocessing import active_children
from pathlib import Path
from types import FrameType
from typing import Any

from esper.contracts.errors import DataError, InterruptionError
from esper.learning.gain_fit import fit_gain_model
from esper.run.episodes.parallel import run_each
from esper.run.policy_training.branch_file import BRANCHES, append_record, open_records
from esper.run.policy_training.config import (
    PolicyTraining,
    command_of,
    deciding_values,
    record_of,
)
from esper.run.policy_training.evaluate import evaluate
from esper.run.policy_training.rows import Record, branch_data, joined, measure, settled_data
from esper.run.summary import versions
from esper.rundir.layout import CONFIG, SUMMARY, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState
from esper.store.read_once import ReadOnce

Tell = Callable[[int, Record], None]
"""Takes the number of tasks that are measured, and the record of the last one."""


def train_policy(config: PolicyTraining, run_dir: Path, tell: Tell) -> dict[str, Any]:
    """Train the policy of a configuration in a folder, and return its summary.

    A folder that holds measured tasks of the same configuration is continued.

    Raises:
        InterruptionError: if SIGINT or SIGTERM stops it; the task in hand is dropped.
        EsperError: if another process trains there, the store or the folder cannot be used, or
            there is nothing to fit.
    """
    with lock_run_dir(run_dir), _stopped_by_signals(run_dir):
        began_s = time.monotonic()
        (run_dir / SUMMARY).unlink(missing_ok=True)
        write_json(run_dir / CONFIG, record_of(config))
        store = ReadOnce(option=config.store, run_dir=run_dir, run=str(run_dir.resolve())).open()
        with closing(store):
            entries = store.load()
        records = _measure_all(config, run_dir, tell)
        data = branch_data(records)
        if not len(data.gains):
            raise DataError(f"no germination could be measured in {config.tasks} tasks")
        settled, num_foreign = settled_data(entries)
        model = fit_gain_model(joined(data, settled), config.learning, config.rng_seed)
        judged = evaluate(records, settled, config.learning, config.rng_seed, config.policy)
        facts = {
            "tasks": len(records),
            "rows": len(data.gains),
            "settled_rows": len(settled.gains),
            "evaluation": asdict(judged),
        }
        about = {"command": command_of(config), "config": deciding_values(config), **facts}
        model.save(run_dir / config.policy_name, {**about, "versions": versions()})
        summary = {
            "status": RunState.FINISHED.value,
            "policy": config.policy_name,
            **facts,
            "settled_rows_of_other_features": num_foreign,
            "model_error": model.error,
            "wall_s": time.monotonic() - began_s,
            "versions": versions(),
        }
        write_json(run_dir / SUMMARY, summary)
        return summary


def _measure_all(config: PolicyTraining, run_dir: Path, tell: Tell) -> list[Record]:
    """Return the records of all tasks; measure those that the file lacks, and append them."""
    path = run_dir / BRANCHES
    records = open_records(path, config.first_task)
    if len(records) > config.tasks:
        raise DataError(f"tasks must be >= {len(records)}, which {path} holds, got {config.tasks}")
    left = range(config.first_task + len(records), config.first_task + config.tasks)
    work = ((index, config.rng_seed) for index in left)
    for record in run_each(measure, work, config.processes):
        append_record(path, record)
        records.append(record)
        tell(len(records), record)
    return records


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
