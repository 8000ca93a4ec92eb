"""Lets every seed of a slot take part with an equal share."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState
from esper.contracts.stage import BLENDED, LIVE, RETARGETABLE
from esper.orchestrator.base import Knowledge
from esper.orchestrator.request import PlanRequest, check_option, verdict


@dataclass(frozen=True)
class Ensemble:
    """Gives each of the n seeds that can take part an alpha target of 1/n.

    Dormant seeds germinate, with different blueprints as far as the catalogue allows; seeds in
    SHADOWING or PROBATIONARY get the new target.  All others stay as they are and do not count in
    n: FOSSILIZED ones because their alpha is fixed for good, those from GERMINATED to BLENDING
    because the lifecycle holds no new target for them, those at rest because they must rest.  The
    plan may exceed `viability.max_concurrent_seeds`.

    adaptation_cooldown_epochs: epochs that a slot rests after a change.
    """

    name: ClassVar[str] = "ensemble"

    adaptation_cooldown_epochs: int = 5

    def __post_init__(self) -> None:
        cooldown = self.adaptation_cooldown_epochs
        check_option(cooldown >= 0, "adaptation_cooldown_epochs", ">= 0", cooldown)

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return the plan of an even ensemble, or an empty one."""
        request = PlanRequest.read(decision, observation, knowledge)
        if request.is_verdict:
            return verdict(request)
        named = name_blueprints(request)
        standing = [seed for seed in request.slot.seeds if seed.stage in RETARGETABLE]
        taking_part = len(named) + len(standing)
        if not taking_part:
            return request.nothing(self.name, "no seed can germinate or get a new alpha target")
        share = 1 / taking_part
        moved = [seed for seed in standing if seed.alpha_target != share]
        changes = [
            SeedChange(action=Action.RETARGET, seed=seed.seed, alpha_target=share) for seed in moved
        ]
        changes += [
            SeedChange(action=Action.GERMINATE, seed=seed, blueprint=name, alpha_target=share)
            for seed, name in named.items()
        ]
        if not changes:
            return request.nothing(self.name, f"all {taking_part} seeds share evenly already")
        reasoning = (
            f"{taking_part} seeds of slot '{request.slot.spec.name}' share alpha evenly, "
            f"{share:.3g} each: {len(named)} germinate, {len(moved)} get the new target"
        )
        tried = [*named.values(), *(seed.bound for seed in moved)]
        return replace(request.plan(self.name, changes, tried, reasoning), exceeds_concurrency=True)


def name_blueprints(request: PlanRequest) -> dict[int, str]:
    """Return a blueprint for each dormant seed, by index; empty when all are barred.

    Each seed gets the one that is least used in the slot, its own first and then in turn.
    """
    catalogue = request.slot.spec.catalogue
    offered = [name for name in catalogue if name not in request.decision.barred]
    used = Counter(s.bound for s in request.slot.seeds if s.stage in LIVE | BLENDED)
    named: dict[int, str] = {}
    for seed in request.dormant if offered else ():
        named[seed.seed] = min(offered, key=lambda name: (used[name], _turn(catalogue, seed, name)))
        used[named[seed.seed]] += 1
    return named


def _turn(catalogue: tuple[str, ...], seed: SeedState, name: str) -> int:
    """Return how many steps in turn the blueprint is after the seed's own."""
    return (catalogue.index(name) - catalogue.index(seed.bound)) % len(catalogue)
