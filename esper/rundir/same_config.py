"""Whether two configurations compute the same: a run is resumed only under its own."""

from collections.abc import Mapping
from typing import Any

from esper.contracts.errors import CheckpointError

FREE = ("name", "logger", "experiment", "store", "device")
"""Keys that may differ: the checkpoint holds the ledger, and a device may be gone."""


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], epoch: int) -> None:
    """Refuse to resume a run under another configuration; only its budget may be longer.

    Args:
        before: values of the configuration that the run had.
        now: values of the one that it is to have.
        epoch: the last epoch that the run finished.

    Raises:
        CheckpointError: naming the first key that differs, and both values.
    """
    if now["epochs"] < epoch:
        raise CheckpointError(f"epochs must be >= {epoch}, which are over, got {now['epochs']}")
    old, new = _leaves(before), _leaves(now)
    # The name of an option comes first: another option has other keys.
    for key in sorted(old | new, key=lambda key: (not key.endswith(".name"), key)):
        if key.split(".")[0] in (*FREE, "epochs"):
            continue
        was, is_now = old.get(key, "not there"), new.get(key, "not there")
        if was != is_now:
            raise CheckpointError(
                f"the checkpoint is of another configuration: {key} was {was}, is {is_now} now"
            )


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a nested mapping by their dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
