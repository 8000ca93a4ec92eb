"""Bind seeds that are dormant again to the blueprint that the strategy chooses."""

from collections.abc import Iterable
from dataclasses import replace

from esper.contracts.event import LifecycleMove
from esper.contracts.slot import free_bindings
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.strategy.selector import Selector


def bind_rested(
    moves: Iterable[LifecycleMove], host: Host, selector: Selector
) -> list[LifecycleMove]:
    """Bind each seed that a move made dormant; return the moves, with the reasons of the bindings.

    Each gets one of the blueprints that no other seed of its slot is bound to, its own included,
    so that as many blueprints as possible are on offer.  Equals go by the catalogue's order.
    """
    return [
        _bound(move, host, selector) if move.to_stage is SeedStage.DORMANT else move
        for move in moves
    ]


def _bound(move: LifecycleMove, host: Host, selector: Selector) -> LifecycleMove:
    slot, index = host.slots[move.slot], move.seed
    bound = [seed.bound for seed in slot.seeds]
    bound[index] = move.blueprint
    free = free_bindings(slot.spec.catalogue, bound, index)
    (best, expected), *rest = selector.expected(slot.spec, index, free).items()
    slot.seeds[index].bound = best
    others = ", ".join([f"{name} {mean:.2f}" for name, mean in rest])
    why = f"{selector.strategy.name} binds it to {best}, expected standing {expected:.2f}"
    why += f" (others by its score: {others})" if others else ""
    return replace(move, reason=f"{move.reason}; {why}")
