"""A person is told of rollbacks, quarantines and escalations, and of nothing else."""

from typing import Any

import pytest

from esper.contracts.event import Event, Recovery
from esper.logger.alerts import Alert, alert_of
from tests.unit.logger.conftest import make_rollback


def recovered(strategy: str, blueprint: str = "mlp") -> Event:
    body = Recovery(
        where="kernel",
        error="ValueError",
        strategy=strategy,
        recovered=False,
        message="it failed 3 times",
        slot="block1",
        seed=2,
        blueprint=blueprint,
    )
    return Event(epoch=7, body=body)


@pytest.mark.parametrize(
    ("event", "alert"),
    [
        (
            make_rollback(),
            Alert(
                level="WARN",
                title="Rolled back to epoch 6 after epoch 7",
                text="validation loss is nan, 2 open kernels culled",
            ),
        ),
        (
            make_rollback("end_growth", culled=0),
            Alert(
                level="ERROR",
                title="Growth switched off after epoch 7",
                text="3 rollbacks, the last because validation loss is nan",
            ),
        ),
        (
            recovered("quarantine"),
            Alert(
                level="WARN",
                title="Quarantine: mlp",
                text="it failed 3 times, last block1 seed 2: ValueError",
            ),
        ),
        (
            recovered("escalate"),
            Alert(level="ERROR", title="Run stopped after epoch 7", text="it failed 3 times"),
        ),
        (make_rollback("suspect"), None),
        (recovered("fallback"), None),
    ],
)
def test_what_is_told_and_how_urgently(event: Event, alert: Alert | None) -> None:
    assert alert_of(event) == alert


def test_a_title_is_cut_to_what_the_server_takes(move: Any) -> None:
    alert = alert_of(recovered("quarantine", "x" * 99))
    assert alert is not None
    assert len(alert.title) == 63
    assert alert_of(move()) is None
