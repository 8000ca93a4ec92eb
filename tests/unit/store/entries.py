"""Entries for stores to hold."""

from esper.contracts.ledger import LedgerEntry


def entry_of(run: str, event: int) -> LedgerEntry:
    """Return the entry of an event of a run."""
    return LedgerEntry(
        run=run,
        event=str(event),
        slot="block",
        seed=0,
        slot_kind="dense",
        placement="series",
        blueprint="a",
        task_family="image",
        reward_model="gain",
        epoch=event,
        reward=event / 7,
    )
