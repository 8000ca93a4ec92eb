"""The contract of a store, and of the options that open one.

A store is read once, at the start, and there it refuses what it cannot use.  Later on it only
helps runs to come, so nothing that happens to it ends this one: what cannot be written waits.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry


class Store(Protocol):
    """Keeps ledger entries under their key (run, event)."""

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first: the snapshot that a run starts from.

        Raises:
            DataError: if it cannot be read, or holds something that is no entry.
        """

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Keep `entries`; one whose key is known already changes nothing.

        What cannot be written now is written later, at the latest at `close`, if that can be.
        """

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call; each is told once."""

    def close(self) -> None:
        """Write what waits, and let go of files and connections; closing twice does no harm."""


class StoreOption(Protocol):
    """A config option that opens a store."""

    name: ClassVar[str]

    def open(self) -> Store:
        """Return the store.

        Raises:
            ConfigError: if a library is missing.
            DataError: if the store cannot be used.
        """
