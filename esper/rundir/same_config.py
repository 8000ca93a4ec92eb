"""Whether two configurations compute the same: a run goes on only under its own."""

from collections.abc import Mapping
from typing import Any

from esper.contracts.errors import CheckpointError

FREE = ("name", "logger", "experiment", "store", "device")
"""Keys that may differ: what was learned is in the checkpoint, and a device may have gone."""


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], epoch: int) -> None:
    """Raise unless a run may go on under a configuration; it may have a longer budget.

    Raises:
        CheckpointError: naming the first key that differs, and both values.
    """
    if now["epochs"] < epoch:
        raise CheckpointError(f"epochs must be >= {epoch}, which are over, got {now['epochs']}")
    old, new = dict(_leaves(before)), dict(_leaves(now))
    # An option that is another one explains why its keys are.
    for key in sorted(old.keys() | new.keys(), key=lambda key: (not key.endswith(".name"), key)):
        if key.split(".")[0] in (*FREE, "epochs"):
            continue
        if key not in old or key not in new or old[key] != new[key]:
            raise CheckpointError(
                f"the checkpoint is of another configuration: {key} was "
                f"{old.get(key, 'not there')}, is {new.get(key, 'not there')} now"
            )


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(path, value)]
    return [
        leaf
        for key, child in value.items()
        for leaf in _leaves(child, f"{path}.{key}" if path else str(key))
    ]
