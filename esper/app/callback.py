"""Hydra's callback: refuse bad configurations early, record failures, finish sweeps.

Hydra turns an `Exception` in a callback into a warning, so this one raises `SystemExit`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

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

Checked = TypeVar("Checked")


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print a user's error as one line and exit with code 1."""
    try:
        yield
    except (OmegaConfBaseException, EsperError, OSError) as error:
        shown = ConfigError(explain(error)) if isinstance(error, OmegaConfBaseException) else error
        print_error(shown)
        raise SystemExit(1) from error


def check_start(
    config: DictConfig,
    command: str,
    to_checked: Callable[[DictConfig], Checked],
    check_resumed: Callable[[Path, Checked], None] | None,
) -> None:
    """Check that a job can start in its folder, or resume there.

    Args:
        config: the job's configuration, with Hydra's.
        command: the one that was given.
        to_checked: returns the checked configuration without Hydra's.
        check_resumed: what a resumed job must pass; None for one that starts.

    Raises:
        EsperError: if the configuration is wrong, or the folder is another run's.
    """
    task = config.copy()
    with open_dict(task):
        del task["hydra"]
    checked, run_dir = to_checked(task), Path(config.hydra.run.dir)
    if check_resumed is not None:
        check_resumed(run_dir, checked)
    elif is_run(run_dir):
        raise ConfigError(
            f"hydra.run.dir={run_dir} holds a run already; name another one, "
            f"or continue it: {command} --resume {run_dir}"
        )


class JobCallback(Callback):
    """The callback that `conf/train.yaml` names; Hydra makes one in each process that runs jobs.

    resumes: whether the command line comes from `esper train --resume`.
    """

    def __init__(self, resumes: bool = False) -> None:
        self.resumes = resumes

    @exit_on_error()
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a run that cannot start or resume, before anything is written."""
        check_resumed = resume.check if self.resumes else None
        check_start(config, "esper train", to_run_config, check_resumed)

    @exit_on_error()
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the command that started the job."""
        resume.write_run_command(config)

    @exit_on_error()
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the command that started the sweep."""
        resume.write_sweep_command(config, resumes=self.resumes)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the error of a failed job; the other jobs of a sweep still run."""
        if failed(config, job_return) and config.hydra.mode != RunMode.MULTIRUN:
            raise SystemExit(1)

    @exit_on_error()
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the table of the sweep; exit with code 1 if a job failed."""
        if not sweep.finish(Path(config.hydra.sweep.dir)):
            raise SystemExit(1)


def failed(config: DictConfig, job_return: JobReturn) -> bool:
    """Return whether a job failed; print its error and record it in the job's folder.

    Raises:
        SystemExit: if the job was interrupted.
    """
    if job_return.status == JobStatus.COMPLETED:
        return False
    job_return.status = JobStatus.COMPLETED  # else Hydra raises the error when it is read
    error = job_return.return_value
    print_error(error)
    with suppress(OSError):  # a full disk, which the printed line names
        _record_failure(Path(config.hydra.runtime.output_dir), error)
    if isinstance(error, InterruptionError):
        raise SystemExit(INTERRUPTED)
    job_return.return_value = float("nan")
    return True


def _record_failure(run_dir: Path, error: BaseException) -> None:
    """Write status and error to the run's summary, which keeps the numbers of a finished run."""
    numbers = load_summary(run_dir) if state_of(run_dir) is RunState.FINISHED else None
    status = RunState.INTERRUPTED if isinstance(error, InterruptionError) else RunState.FAILED
    summary = {**(numbers or {}), "status": status, "error": one_line(error)}
    write_json(run_dir / SUMMARY, summary)
