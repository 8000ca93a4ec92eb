"""Hydra's callback of `esper train-policy`: refuse early, record the command and failures."""

from pathlib import Path
from typing import Any

import typer
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from esper.app import resume
from esper.app.callback import check_start, exit_on_error, failed
from esper.app.schema import to_config
from esper.contracts.errors import ConfigError
from esper.run.policy_training.config import PolicyTraining, check_same
from esper.run.policy_training.files import check_files
from esper.rundir.layout import CONFIG
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState, load_object, state_of


class PolicyCallback(Callback):
    """The callback that `conf/train_policy.yaml` names.

    resumes: whether the command line comes from `esper train-policy --resume`.
    """

    def __init__(self, resumes: bool = False) -> None:
        self.resumes = resumes

    @exit_on_error()
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a training that cannot start or resume, before anything is written."""
        check_resumed = _check_resumed if self.resumes else None
        to_checked = _training_of if self.resumes else _checked_of
        check_start(config, "esper train-policy", to_checked, check_resumed)

    @exit_on_error()
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the command that started the training."""
        resume.write_run_command(config)

    @exit_on_error()
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a sweep, whose jobs would each train a policy."""
        raise ConfigError("train-policy takes no -m: one command trains one policy")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the error of a failed training."""
        if failed(config, job_return):
            raise SystemExit(1)


def _training_of(task: DictConfig) -> PolicyTraining:
    return to_config(task, PolicyTraining)


def _checked_of(task: DictConfig) -> PolicyTraining:
    config = _training_of(task)
    check_files(config)
    return config


def _check_resumed(run_dir: Path, config: PolicyTraining) -> None:
    """Check that a training can be resumed under a configuration.

    Raises:
        EsperError: if another process trains it, or its configuration was another.
        SystemExit: with code 0 if it is finished.
    """
    with lock_run_dir(run_dir):
        before = load_object(run_dir / CONFIG)
    if before is None:
        return
    check_same(before, config)
    if state_of(run_dir) is RunState.FINISHED and before["tasks"] == config.num_tasks:
        typer.echo(
            f"{run_dir} is finished; to continue it, give it more tasks than {before['tasks']}"
        )
        raise SystemExit(0)
