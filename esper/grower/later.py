"""Look at kept kernels again, and revise what was learned from them."""

from esper.attribution.kept import due, look_again
from esper.attribution.modes import Modes
from esper.contracts.event import EventBody
from esper.grower.costs import Costs
from esper.grower.settle import Settler


def plan_later_looks(costs: Costs, epoch: int) -> None:
    """Decide after `epoch` whether the looks due after the next one are taken.

    They are if `safety.max_cost` leaves room for all of them.  The network then records its
    training inputs until they are taken, for the batch statistics.
    """
    num_due = len(due(costs.host, epoch + 1))
    costs.host.looks_again = num_due > 0 and costs.affords_later_looks(num_due, epoch)


def take_later_looks(settler: Settler, modes: Modes, epoch: int) -> list[EventBody]:
    """Take the looks planned for the end of `epoch`; return the revised judgements."""
    host = modes.host
    looks = look_again(host, modes, epoch) if host.looks_again else []
    return [event for look in looks for event in settler.revise(look, host.slots[look.slot].spec)]
