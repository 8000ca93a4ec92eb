"""Entries as JSON, and what is refused."""

import json
from dataclasses import replace

import pytest

from esper.contracts.errors import DataError
from esper.store.codec import to_entry, to_json
from tests.unit.store.entries import entry_of


def test_a_context_survives_json() -> None:
    for context in ((), (1.0, 1 / 3, 0.0, 1.0)):
        entry = replace(entry_of("run", 3), context=context)
        assert to_entry(to_json(entry), "here") == entry


def test_features_survive_json_and_may_be_unmeasured() -> None:
    for features in ((), (0.1234, None, -3.0)):
        entry = replace(entry_of("run", 3), features=features, shown=0.25)
        assert to_entry(to_json(entry), "here") == entry
    values = json.loads(to_json(entry))
    with pytest.raises(DataError, match="here: features must be a list of numbers, got"):
        to_entry({**values, "features": [1.0, "x"]}, "here")


def test_an_entry_of_an_earlier_format_is_refused_in_one_line() -> None:
    values = json.loads(to_json(entry_of("run", 3)))
    del values["task_family"], values["reward_model"], values["context"]
    with pytest.raises(DataError, match=r"^here: no reward_model, no task_family$"):
        to_entry(values, "here")


def test_a_context_that_is_none_is_refused() -> None:
    values = json.loads(to_json(entry_of("run", 3)))
    for wrong in (None, "1234", [1.0, "x", 0.0, 0.0], [True, 0.0, 0.0, 0.0]):
        with pytest.raises(DataError, match="here: context must be a list of numbers, got"):
            to_entry({**values, "context": wrong}, "here")
    for wrong in ([1.0], [1.0, 0.0, 0.0, 2.0]):
        with pytest.raises(DataError, match=r"here: context must be 4 or 7 numbers in \[0, 1\]"):
            to_entry({**values, "context": wrong}, "here")
