"""The store that ends with its run."""

from collections.abc import Callable
from typing import Any

from esper.strategy.store.memory import Memory


def test_every_run_opens_an_empty_store_of_its_own(make_entry: Callable[..., Any]) -> None:
    first, second = Memory().open(), Memory().open()
    first.write([make_entry("0")])
    assert second.load() == []
    assert Memory().open().load() == []
