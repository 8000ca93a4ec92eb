"""Gives every seed of a slot that takes part an equal share of alpha."""

from dataclasses import dataclass, replace
from typing import ClassVar

from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import RETARGETABLE
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest

LEAST_SEEDS = 2
"""Seeds that germinate in any case if the decision names no number."""


@dataclass(frozen=True)
class Ensemble(Orchestrator):
    """Gives each of the n seeds that take part an alpha target of 1/n.

    Dormant seeds germinate with different blueprints: as many as the decision names, or else two
    and those of which the strategy expects a reward of at least 0, as soon as rewards are known.
    Seeds in SHADOWING or PROBATIONARY get the new target, so that each verdict is taken at the
    alpha that is kept.  All others stay as they are and do not count in n: the alpha of FOSSILIZED
    seeds is fixed, the lifecycle allows no new target from GERMINATED to BLENDING, and culled seeds
    must rest.  The plan may exceed `viability.max_concurrent_seeds`.
    """

    name: ClassVar[str] = "ensemble"

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan of an even ensemble, or an empty one."""
        new = request.wanted(LEAST_SEEDS, len(request.slot.seeds), 1.0)
        standing = [seed for seed in request.slot.seeds if seed.stage in RETARGETABLE]
        count = len(new.changes) + len(standing)
        is_even = all(seed.alpha_target == 1 / count for seed in standing)
        if not new.changes and is_even:
            return new if not standing else request.nothing(f"all {count} seeds share evenly")
        changes = [SeedChange(action=Action.RETARGET, seed=seed.seed) for seed in standing]
        reasoning = (
            f"up to {count} seeds of slot '{request.slot.spec.name}' share alpha evenly: "
            f"{len(new.changes)} germinate, {len(standing)} blend again"
        )
        plan = request.plan((*changes, *new.changes), reasoning)
        return replace(plan, exceeds_concurrency=True, shares_alpha=True).evened()
