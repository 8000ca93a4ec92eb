"""The open growth events of a host as a tree of plain values and tensors, twins included."""

from typing import Any

from esper.growth.attribution import Change, Comparison
from esper.growth.host_state import host_state, load_host_state
from esper.growth.pending import Pending


def pending_state(pending: Pending) -> dict[str, Any]:
    """Return host and open events as they stand; tensors are their own, not copies."""
    return {
        "host": host_state(pending.host),
        "num_events": pending.num_events,
        "changes": [_change_state(change) for change in pending.changes],
    }


def load_pending_state(pending: Pending, state: dict[str, Any]) -> None:
    """Make a fresh host and its open events stand where `state` says.

    Raises:
        CheckpointError: if it is the state of another host.
    """
    # Twins are made from the host before it has any kernel: each puts in its own.
    twins = [None if saved["twin"] is None else pending.host.copy() for saved in state["changes"]]
    load_host_state(pending.host, state["host"])
    pending.num_events = state["num_events"]
    pending.changes = []
    for saved, twin in zip(state["changes"], twins, strict=True):
        if twin is not None:
            load_host_state(twin, saved["twin"])
        change = Change(
            index=saved["index"],
            epoch=saved["epoch"],
            seeds={(slot, seed): activation for slot, seed, activation in saved["seeds"]},
            twin=twin,
            comparison=_comparison(saved["comparison"]),
            ablations={
                (slot, seed): _comparison(found) for slot, seed, found in saved["ablations"]
            },
        )
        pending.changes.append(change)


def _change_state(change: Change) -> dict[str, Any]:
    return {
        "index": change.index,
        "epoch": change.epoch,
        "seeds": [[*key, activation] for key, activation in change.seeds.items()],
        "twin": None if change.twin is None else host_state(change.twin),
        "comparison": _comparison_state(change.comparison),
        "ablations": [[*key, _comparison_state(each)] for key, each in change.ablations.items()],
    }


def _comparison_state(comparison: Comparison) -> dict[str, Any]:
    return {
        "window": comparison.window,
        "differences": list(comparison.differences),
        "references": list(comparison.references),
        "hits": list(comparison.hits),
    }


def _comparison(saved: dict[str, Any]) -> Comparison:
    comparison = Comparison(saved["window"])
    for name in ("differences", "references", "hits"):
        getattr(comparison, name).extend(saved[name])
    return comparison
