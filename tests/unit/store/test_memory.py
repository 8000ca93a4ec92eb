"""The store that ends with its run."""

from collections.abc import Callable
from typing import Any

from esper.store.memory import MAX_ENTRIES, Memory


def test_every_run_opens_an_empty_store_of_its_own(make_entry: Callable[..., Any]) -> None:
    first, second = Memory().open(), Memory().open()
    first.write([make_entry("0")])
    assert second.load() == []
    assert Memory().open().load() == []


def test_it_keeps_the_last_entries_and_no_more(make_entry: Callable[..., Any]) -> None:
    store = Memory().open()
    store.write([make_entry(str(number)) for number in range(MAX_ENTRIES + 2)])
    kept = [entry.event for entry in store.load()]
    assert kept == [str(number) for number in range(2, MAX_ENTRIES + 2)]
