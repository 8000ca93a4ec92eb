"""Hydra's callback: refuse bad configurations early, record failures, end sweeps.

Hydra turns an `Exception` of a callback into a warning, so this one raises `SystemExit`.
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
from esper.app.schema import to_run_config
from esper.contracts.errors import ConfigError, EsperError, InterruptionError
from esper.rundir.layout import SUMMARY, write_json
from esper.rundir.records import RunState, is_run, load_summary, state_of


class JobCallback(Callback):
    """Named in `conf/train.yaml` under `hydra.callbacks`; lives in each process that runs jobs.

    resumes: whether `esper train --resume` gave the command line.
    """

    def __init__(self, resumes: bool = False) -> None:
        self.resumes = resumes

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse what cannot start, or cannot be resumed, before anything is written."""
        with _exit_on_error():
            task = config.copy()
            with open_dict(task):
                del task["hydra"]
            checked = to_run_config(task)
            run_dir = Path(config.hydra.run.dir)
            if self.resumes:
                resume.check(run_dir, checked)
            elif is_run(run_dir):
                raise ConfigError(
                    f"hydra.run.dir={run_dir} holds a run already; name another one, "
                    f"or go on with it: esper train --resume {run_dir}"
                )

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the command that started the job."""
        with _exit_on_error():
            resume.write_run_command(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the command that started the sweep."""
        with _exit_on_error():
            resume.write_sweep_command(config, resumes=self.resumes)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record how a job failed; the other jobs of a sweep still run."""
        if job_return.status == JobStatus.COMPLETED:
            return
        job_return.status = JobStatus.COMPLETED  # or reading the error would raise it
        error = job_return.return_value
        print_error(error)
        is_interrupted = isinstance(error, InterruptionError)
        with suppress(OSError):  # a full disk: the line above names it
            _record_failure(Path(config.hydra.runtime.output_dir), error)
        if is_interrupted:
            raise SystemExit(INTERRUPTED)
        if config.hydra.mode != RunMode.MULTIRUN:
            raise SystemExit(1)
        job_return.return_value = float("nan")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the sweep's table; exit with 1 when a job failed."""
        with _exit_on_error():
            failed = sweep.finish(Path(config.hydra.sweep.dir))
        if failed:
            raise SystemExit(1)


def _record_failure(run_dir: Path, error: BaseException) -> None:
    """Write into the run's summary how and why it ended; numbers of a finished run are kept."""
    is_finished = state_of(run_dir) is RunState.FINISHED
    numbers = (load_summary(run_dir) or {}) if is_finished else {}
    is_interrupted = isinstance(error, InterruptionError)
    status = RunState.INTERRUPTED if is_interrupted else RunState.FAILED
    write_json(run_dir / SUMMARY, {**numbers, "status": status, "error": one_line(error)})


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """Turn an error of the user's into its line and exit code 1."""
    try:
        yield
    except OmegaConfBaseException as error:
        print_error(ConfigError(explain(error)))
        raise SystemExit(1) from error
    except (EsperError, OSError) as error:
        print_error(error)
        raise SystemExit(1) from error
