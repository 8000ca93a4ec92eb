"""Save and restore what changes in a grower."""

from typing import TYPE_CHECKING, Any

from esper.grower.checks import check_fresh
from esper.probe.rng_state import RngState

if TYPE_CHECKING:
    from esper.grower.grower import Grower

_PARTS = ("trials", "guard", "observer", "policy", "settler", "selector", "costs", "best")
"""Parts of a grower with a state of their own, in the order of loading."""


def state_of(grower: "Grower", epoch_began: RngState) -> dict[str, Any]:
    """Return the state of a grower; `epoch_began` is the random state then."""
    return {
        "epoch": grower.epoch,
        "num_decisions": grower.num_decisions,
        "governor": grower.governor.state_dict(grower.epoch),
        "epoch_began": epoch_began.state_dict(),
        "rng": RngState.now().state_dict(),
        **{part: getattr(grower, part).state_dict() for part in _PARTS},
    }


def load_state(grower: "Grower", state: dict[str, Any]) -> RngState:
    """Load what `state_of` returned, the global random state too; return that of the epoch's start.

    Raises:
        CheckpointError: if it is the state of another model or optimizer.
        ValueError: if the grower has taken a step already.
    """
    check_fresh(grower.epoch)
    grower.epoch, grower.num_decisions = state["epoch"], state["num_decisions"]
    for part in _PARTS:
        getattr(grower, part).load_state_dict(state[part])
    grower.governor.load_state_dict(state["governor"], grower.epoch)
    RngState.from_state(state["rng"]).restore()
    return RngState.from_state(state["epoch_began"])
