"""The table of options names every key once, and a row without effect is found."""

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from esper.app.schema import conf_dir, register
from esper.options import OPTIONS
from experiments.options.__main__ import SAMPLE, chosen
from experiments.options.exempt import EXEMPT
from experiments.options.row import Row, values
from experiments.options.table import ROWS

ROW = Row(key="strategy/ucb.exploration_constant", other="0.5", base="epochs=2", field="summary.x")


def keys() -> Iterator[str]:
    """Yield every key of the composed configuration, once for each option that has it."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        for group, options in OPTIONS.items():
            for option in options:
                place = f"{group}/{option}" if len(options) > 1 else group
                chosen = compose("train", [f"{group}={option}"])[group]
                yield from (f"{place}.{key}" for key in chosen)
        whole = compose("train")
    for group, value in whole.items():
        if isinstance(value, DictConfig) and group not in OPTIONS:
            yield from (f"{group}.{key}" for key in value)
        elif group not in OPTIONS:
            yield str(group)


def test_every_option_has_one_row_or_one_reason_to_have_none() -> None:
    every, rows = list(keys()), [row.key for row in ROWS]
    named = {key: rows.count(key) + sum(fnmatch(key, each) for each in EXEMPT) for key in every}
    assert {key: count for key, count in named.items() if count != 1} == {}
    assert set(rows) <= set(every)
    assert [each for each in EXEMPT if not any(fnmatch(key, each) for key in every)] == []


def test_a_base_leaves_the_group_of_its_row_at_its_defaults() -> None:
    """But for the key itself, and words that choose what the group's other keys speak of."""
    words = {
        "policy.trigger",
        "model.factory",
        "model.hidden",
        "training.optimizer",
        "training.schedule",
        "growth.widen",
    }
    for row in ROWS:
        typed = {word.partition("=")[0] for word in row.base.split()}
        assert {key for key in typed if key.startswith(f"{row.group}.")} <= words, row


def test_a_row_is_two_commands_that_differ_in_one_key() -> None:
    assert ROW.default_command == ("epochs=2", "strategy=ucb")
    assert ROW.other_command == ("epochs=2", "strategy=ucb", "strategy.exploration_constant=0.5")
    of_all = Row(key="epochs", other="3", base="model=mlp", field="metrics.epoch")
    assert of_all.other_command == ("model=mlp", "epochs=3")


def write(run: Path, name: str, *records: dict[str, Any]) -> None:
    (run / name).write_text("".join(f"{json.dumps(record)}\n" for record in records))


def test_a_field_is_read_from_the_files_of_a_run_without_clock_times(tmp_path: Path) -> None:
    write(tmp_path, "summary.json", {"test_loss": 0.5})
    write(tmp_path, "metrics.jsonl", {"params": 3}, {"params": 4})
    judged = {"kind": "reward", "reward": {"total": 0.25, "judged_ms": 7}}
    write(tmp_path, "events.jsonl", {"kind": "decision"}, judged)
    assert values(tmp_path, "summary.test_loss") == [0.5]
    assert values(tmp_path, "metrics.params") == [3, 4]
    assert values(tmp_path, "events.reward.reward") == [{"total": 0.25}]
    assert values(tmp_path, "events.plan.changes") == []
    with pytest.raises(KeyError, match="totl"):
        values(tmp_path, "events.reward.reward.totl")


def test_a_sample_depends_on_its_seed_alone() -> None:
    sample = chosen(None, 0)
    assert len({row.key for row in sample}) == SAMPLE
    assert sample == chosen(None, 0) != chosen(None, 1)
    assert [row.key for row in chosen(["growth.ramp"], None)] == ["growth.ramp"]
    with pytest.raises(ValueError, match=r"no row of growth\.rmp"):
        chosen(["growth.rmp"], None)
