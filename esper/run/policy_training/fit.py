"""Train the gain model of the planner: measure tasks, fit, evaluate."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from esper.contracts.errors import DataError
from esper.learning.gain_fit import fit_gain_model
from esper.learning.gain_model import GainModel
from esper.run.episodes.parallel import run_each
from esper.run.policy_training.branch_file import BRANCHES, append_record, open_records
from esper.run.policy_training.config import PolicyTraining
from esper.run.policy_training.evaluate import evaluate
from esper.run.policy_training.rows import Record, branch_data, joined, measure, settled_data
from esper.store.read_once import ReadOnce

Tell = Callable[[int, Record], None]
"""Takes the number of tasks that are measured, and the record of the last one."""


def fit_gains(
    config: PolicyTraining, run_dir: Path, tell: Tell
) -> tuple[GainModel, dict[str, Any]]:
    """Return the gain model, and what is known of it.

    A folder that holds measured tasks is continued.

    Raises:
        EsperError: if the store cannot be used, or there is nothing to fit.
    """
    store = ReadOnce(option=config.store, run_dir=run_dir, run=str(run_dir.resolve())).open()
    with closing(store):
        entries = store.load()
    records = _measure_all(config, run_dir, tell)
    data = branch_data(records)
    if not len(data.gains):
        raise DataError(f"no germination could be measured in {config.num_tasks} tasks")
    settled, num_foreign = settled_data(entries)
    model = fit_gain_model(joined(data, settled), config.learning, config.rng_seed)
    judged = evaluate(records, settled, config.learning, config.rng_seed, config.policy)
    return model, {
        "tasks": len(records),
        "rows": len(data.gains),
        "settled_rows": len(settled.gains),
        "settled_rows_of_other_features": num_foreign,
        "evaluation": asdict(judged),
    }


def _measure_all(config: PolicyTraining, run_dir: Path, tell: Tell) -> list[Record]:
    """Return the records of all tasks; measure those that the file lacks, and append them."""
    path = run_dir / BRANCHES
    records = open_records(path, config.start_task)
    if len(records) > config.num_tasks:
        raise DataError(
            f"tasks must be >= {len(records)}, which {path} holds, got {config.num_tasks}"
        )
    left = range(config.start_task + len(records), config.start_task + config.num_tasks)
    work = ((index, config.rng_seed) for index in left)
    for record in run_each(measure, work, config.processes):
        append_record(path, record)
        records.append(record)
        tell(len(records), record)
    return records
