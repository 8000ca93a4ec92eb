"""Bind seeds that are dormant again to the blueprint that the ledger expects most of."""

from collections.abc import Iterable
from dataclasses import replace

from esper.contracts.event import LifecycleMove
from esper.contracts.slot import free_bindings
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.strategy.ledger import Ledger


def bind_rested(moves: Iterable[LifecycleMove], host: Host, ledger: Ledger) -> list[LifecycleMove]:
    """Bind each seed that a move made dormant; return the moves, with the reasons of the bindings.

    Each gets one of the blueprints that no other seed of its slot is bound to, its own included,
    so that as many blueprints as possible are on offer.  Equals go by the catalogue's order.
    """
    return [
        _bound(move, host, ledger) if move.to_stage is SeedStage.DORMANT else move for move in moves
    ]


def _bound(move: LifecycleMove, host: Host, ledger: Ledger) -> LifecycleMove:
    slot, index = host.slots[move.slot], move.seed
    bound = [seed.bound for seed in slot.seeds]
    bound[index] = move.blueprint
    expected = {
        name: ledger.arm(slot.spec, index, name).mean_reward
        for name in free_bindings(slot.spec.catalogue, bound, index)
    }
    slot.seeds[index].bound = best = max(expected, key=lambda name: expected[name])
    others = [f"{name} {mean:.2f}" for name, mean in expected.items() if name != best]
    rest = f" ({', '.join(others)})" if others else ""
    binding = f"bound to {best}, expected standing {expected[best]:.2f}{rest}"
    return replace(move, reason=f"{move.reason}; {binding}")
