"""The options of a run as plain values, and the options made of them again."""

import json
from typing import Any

import pytest

from esper.config import RunConfig
from esper.contracts.errors import CheckpointError, DataError
from esper.options import OPTIONS, option_name
from esper.run.config_file import check_same, config_of, config_values
from esper.store.prior import NONE
from esper.store.sqlite import SQLite
from esper.strategy.thompson import Thompson

CHOICES = [(group, name) for group, options in OPTIONS.items() for name in options]


def written_and_read(config: RunConfig) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(config_values(config), allow_nan=False))
    return values


def test_each_group_has_the_name_of_its_option() -> None:
    values = config_values(RunConfig(strategy=Thompson(prior_alpha=3.0)))
    assert values["strategy"] == {
        "name": "thompson",
        "prior_alpha": 3.0,
        "prior_beta": 1.0,
        "first_order_weight": 0.25,
    }
    assert values["model"]["slots"] == ["auto"]
    assert values["epochs"] == 40
    assert "name" not in values["viability"]


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_option_survives_the_way_to_a_file_and_back(group: str, name: str) -> None:
    config = RunConfig(**{group: OPTIONS[group][name]()})
    values = written_and_read(config)
    assert values[group]["name"] == option_name(group, OPTIONS[group][name]())
    assert config_of(values) == config


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"wings": 2}, "wings"),
        ({"strategy": {"name": "bold"}}, "bold"),
        ({"strategy": {"exploration_constant": 2.0}}, "name"),
        ({"signals": {"wings": 2}}, "wings"),
        ({"epochs": 0}, "epochs must be a whole number >= 1, or auto"),
    ],
)
def test_values_of_another_version_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=f"no configuration of this version of Esper: .*{problem}"):
        config_of(written_and_read(RunConfig()) | changes)


def test_another_store_may_hold_a_resumed_run_but_not_with_another_prior() -> None:
    before = config_values(RunConfig())
    check_same(before, config_values(RunConfig(store=SQLite())), epoch=0)
    with pytest.raises(CheckpointError, match=r"store\.prior was shipped, is none now"):
        check_same(before, config_values(RunConfig(store=SQLite(prior=NONE))), epoch=0)
