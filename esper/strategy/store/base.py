"""The contract of a store, and of the options that open one."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from esper.strategy.entry import LedgerEntry


class Store(Protocol):
    """Keeps ledger entries under their key (run, event)."""

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first: the snapshot that a run starts from."""

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Keep `entries`; one whose key is known already changes nothing."""

    def close(self) -> None:
        """Let go of files and connections; closing twice does no harm."""


class StoreOption(Protocol):
    """A config option that opens a store."""

    name: ClassVar[str]

    def open(self) -> Store:
        """Return the store; raises `DataError` if it cannot be used."""
