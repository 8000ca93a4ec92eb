"""The contracts of a store, which keeps the ledger between runs, and of the option that opens it.

A run reads its store once, at the start, and stops if that fails.  Later failures never stop the
run: entries that cannot be written are buffered.
"""

from collections.abc import Sequence
from typing import Protocol

from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry


class Store(Protocol):
    """Keeps ledger entries under their key (run, event)."""

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first.

        Raises:
            DataError: if the store cannot be read, or contains something that is not an entry.
        """

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Add `entries`, which replace those of the same keys where they stand.

        Failed writes are retried later, and again in `close`.
        """

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""

    def close(self) -> None:
        """Write buffered entries and close files and connections; a second call does nothing."""


class StoreOption(Protocol):
    """An option of the config group `store`.

    prior: what a ledger expects before its first entry: `none`, or `shipped` with the package.
    """

    @property
    def prior(self) -> str:
        """The value of the key `store.prior`."""

    def open(self) -> Store:
        """Return the store.

        Raises:
            ConfigError: if a library is missing.
            DataError: if the store cannot be used.
        """
