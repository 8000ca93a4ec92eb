"""What Hydra tells of its jobs: refuse bad configurations early, record failures, end sweeps.

Hydra turns an `Exception` of a callback into a warning, so this one leaves by `SystemExit`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from esper.app import resume, sweep
from esper.app.errors import INTERRUPTED, one_line, print_error
from esper.app.explain import explain
from esper.app.schema import to_raw, to_run_config
from esper.contracts.errors import ConfigError, EsperError, InterruptionError
from esper.rundir.layout import COMMAND, RECORDS


class JobCallback(Callback):
    """Named in `conf/train.yaml` under `hydra.callbacks`; lives in each process that runs jobs."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse what cannot start, or cannot go on, before anything is written."""
        with _leaving():
            task = config.copy()
            with open_dict(task):
                del task["hydra"]
            checked = to_run_config(task)
            run_dir = Path(config.hydra.run.dir)
            if resume.is_taken_up(run_dir):
                resume.check(run_dir, to_raw(task, checked))
            elif any((run_dir / name).exists() for name in RECORDS):
                raise ConfigError(
                    f"hydra.run.dir={run_dir} holds a run already; name another one, "
                    f"or go on with it: esper train --resume {run_dir}"
                )

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Keep what started the job."""
        with _leaving():
            resume.note_run(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Keep what started the sweep."""
        with _leaving():
            resume.note_sweep(config)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record how the job ended; in a sweep the others go on after a failure."""
        run_dir = Path(config.hydra.runtime.output_dir)
        overrides = [str(override) for override in config.hydra.overrides.task]
        in_sweep = config.hydra.mode == RunMode.MULTIRUN
        with _leaving():
            if job_return.status == JobStatus.COMPLETED:
                if in_sweep or (run_dir.parent / COMMAND).exists():
                    sweep.mark_finished(run_dir, overrides)
                return
            job_return.status = JobStatus.COMPLETED  # or reading the error would raise it
            error = job_return.return_value
            print_error(error)
            is_interrupted = isinstance(error, InterruptionError)
            status = "interrupted" if is_interrupted else "failed"
            with suppress(OSError):  # a full disk: the line that was just told says it
                sweep.record_failure(run_dir, one_line(error), status)
        if is_interrupted:
            raise SystemExit(INTERRUPTED)
        if not in_sweep:
            raise SystemExit(1)
        job_return.return_value = float("nan")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the sweep's table; exit with 1 when a job failed."""
        with _leaving():
            failed = sweep.finish(Path(config.hydra.sweep.dir))
        if failed:
            raise SystemExit(1)


@contextmanager
def _leaving() -> Iterator[None]:
    try:
        yield
    except OmegaConfBaseException as error:
        print_error(ConfigError(explain(error)))
        raise SystemExit(1) from error
    except (EsperError, OSError) as error:
        print_error(error)
        raise SystemExit(1) from error
