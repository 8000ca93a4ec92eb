"""A store that ends with its run."""

from collections.abc import Sequence
from dataclasses import dataclass

from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.store.prior import SHIPPED, check_prior

MAX_ENTRIES = 1_000
"""Number of entries kept; few suffice, because a run reads its store only at the start."""


@dataclass(frozen=True)
class Memory:
    """Keeps nothing between runs: each starts with an empty store.

    prior: as in `StoreOption`.
    """

    prior: str = SHIPPED

    def __post_init__(self) -> None:
        check_prior(self.prior)

    def open(self) -> "MemoryStore":
        """Return an empty store."""
        return MemoryStore()


class MemoryStore:
    """The last entries, in a dict."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], LedgerEntry] = {}

    def load(self) -> list[LedgerEntry]:
        """Return the last entries, oldest first."""
        return list(self._entries.values())

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Add `entries`, which replace those of the same keys where they stand."""
        for entry in entries:
            self._entries[entry.run, entry.event] = entry
            if len(self._entries) > MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]

    def drain(self) -> list[Recovery]:
        """Return nothing: writing to memory does not fail."""
        return []

    def close(self) -> None:
        """Do nothing."""
