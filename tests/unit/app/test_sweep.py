"""Which jobs of a sweep are left as they are when the sweep is started again."""

from dataclasses import replace
from pathlib import Path

import pytest

from esper.app.sweep import finished_summary
from esper.config import RunConfig
from esper.contracts.errors import CheckpointError
from esper.logger.none import NoLogger
from esper.run.config_file import config_values
from esper.rundir.layout import CONFIG, SUMMARY, write_json

CONFIG_BEFORE = RunConfig(epochs=8, rng_seed=1)


def job(folder: Path, status: str = "finished") -> Path:
    """Write what a job of 8 epochs leaves."""
    write_json(folder / CONFIG, config_values(CONFIG_BEFORE))
    write_json(folder / SUMMARY, {"status": status, "epochs": 8, "best_val_accuracy": 0.9})
    return folder


@pytest.mark.parametrize(
    "config",
    [CONFIG_BEFORE, replace(CONFIG_BEFORE, epochs=5), replace(CONFIG_BEFORE, logger=NoLogger())],
)
def test_a_job_trained_for_as_many_epochs_is_finished(config: RunConfig, tmp_path: Path) -> None:
    summary = finished_summary(job(tmp_path), config)
    assert summary is not None
    assert summary["best_val_accuracy"] == 0.9


def test_a_job_is_not_finished_before_its_epochs_are(tmp_path: Path) -> None:
    assert finished_summary(tmp_path, CONFIG_BEFORE) is None
    assert finished_summary(job(tmp_path), replace(CONFIG_BEFORE, epochs=9)) is None
    assert finished_summary(job(tmp_path, "interrupted"), CONFIG_BEFORE) is None
    assert finished_summary(job(tmp_path, "failed"), CONFIG_BEFORE) is None


def test_a_finished_job_of_another_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="rng_seed was 1, is 2 now"):
        finished_summary(job(tmp_path), replace(CONFIG_BEFORE, rng_seed=2))
