"""Gives every seed of a slot an equal share of alpha."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import BLENDED, LIVE, RETARGETABLE
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest


@dataclass(frozen=True)
class Ensemble(Orchestrator):
    """Gives each of the n seeds that can take part an alpha target of 1/n.

    Dormant seeds germinate, with different blueprints as far as the catalogue allows; seeds in
    SHADOWING or PROBATIONARY get the new target.  All others stay as they are and do not count in
    n: the alpha of FOSSILIZED seeds is fixed, the lifecycle allows no new target from GERMINATED to
    BLENDING, and culled seeds must rest.  The plan may exceed `viability.max_concurrent_seeds`.
    """

    name: ClassVar[str] = "ensemble"

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan of an even ensemble, or an empty one."""
        named = name_blueprints(request)
        retargetable = [seed for seed in request.slot.seeds if seed.stage in RETARGETABLE]
        count = len(named) + len(retargetable)
        if not count:
            return request.nothing("no seed can germinate or get a new alpha target")
        share = 1 / count
        moved = [seed for seed in retargetable if seed.alpha_target != share]
        changes = [
            SeedChange(action=Action.RETARGET, seed=seed.seed, alpha_target=share) for seed in moved
        ]
        changes += [
            SeedChange(action=Action.GERMINATE, seed=seed, blueprint=name, alpha_target=share)
            for seed, name in named.items()
        ]
        if not changes:
            return request.nothing(f"all {count} seeds share evenly already")
        reasoning = (
            f"{count} seeds of slot '{request.slot.spec.name}' share alpha evenly, "
            f"{share:.3g} each: {len(named)} germinate, {len(moved)} get the new target"
        )
        tried = [*named.values(), *(seed.bound for seed in moved)]
        return replace(request.plan(changes, tried, reasoning), exceeds_concurrency=True)


def name_blueprints(request: PlanRequest) -> dict[int, str]:
    """Return a blueprint for each dormant seed, by index; empty when all are barred.

    Each seed gets the blueprint that is least used in the slot.  Ties go to the seed's own, then
    to the next one in the catalogue's order.
    """
    catalogue = request.slot.spec.catalogue
    used = Counter(s.bound for s in request.slot.seeds if s.stage in LIVE | BLENDED)
    named: dict[int, str] = {}
    for seed in request.dormant:
        own = catalogue.index(seed.bound)
        turn = catalogue[own:] + catalogue[:own]
        offered = [name for name in turn if name not in request.decision.barred]
        if offered:
            named[seed.seed] = min(offered, key=lambda name: used[name])
            used[named[seed.seed]] += 1
    return named
