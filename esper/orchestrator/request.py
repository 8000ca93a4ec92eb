"""A decision with the slot that it names, and the plans that several orchestrators make.

A live seed's score in [0, 1] is the composite score of its present activation.  If the ledger has
none yet, the gain of its kernel is mapped to the same scale (see `SeedRecord.composite`):

    score = 0.5 + gain / 0.2, clipped to [0, 1]

with the lower of the credited gain and the ablation contribution, so that a negative contribution
is a veto.  A seed without any measurement has no score: unknown is not bad.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import ALLOWED_MOVES, SeedStage

VERDICTS = {
    DecisionKind.FOSSILIZE: (Action.FOSSILIZE, SeedStage.FOSSILIZED),
    DecisionKind.CULL: (Action.CULL, SeedStage.CULLED),
}
"""The action and the stage of each decision that concerns one seed."""

_GAIN_RANGE = 0.2


class Knowledge(Protocol):
    """The part of a ledger that orchestrators read."""

    def composite(self, slot: str, seed: int, /) -> float | None:
        """Return the score in [0, 1] of the seed's present activation, None when unknown."""


def measured_score(seed: SeedState) -> float | None:
    """Return the score of the seed's present kernel, None when it was never measured."""
    measured = [value for value in (seed.gain, seed.ablation) if value is not None]
    if not measured:
        return None
    return min(1.0, max(0.0, 0.5 + min(measured) / _GAIN_RANGE))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """Input of a plan; `kind` becomes the plan's."""

    kind: str
    decision: Decision
    slot: SlotState
    may_grow: bool
    knowledge: Knowledge

    @property
    def dormant(self) -> tuple[SeedState, ...]:
        """The seeds that can germinate now; none once growth is over."""
        seeds = self.slot.seeds if self.may_grow else ()
        return tuple(seed for seed in seeds if seed.stage is SeedStage.DORMANT)

    def score(self, seed: SeedState) -> float | None:
        """Return the seed's score in [0, 1], None when it is unknown."""
        composite = self.knowledge.composite(seed.slot, seed.seed)
        return measured_score(seed) if composite is None else composite

    def plan(self, changes: Sequence[SeedChange], reasoning: str) -> Plan:
        """Return the plan; what it is expected to bring is known once seeds are chosen."""
        return Plan(
            slot=self.slot.spec.name,
            kind=self.kind,
            changes=tuple(changes),
            reasoning=reasoning,
            risk=self.decision.risk,
        )

    def nothing(self, why: str) -> Plan:
        """Return an empty plan with the reason `why`."""
        return self.plan((), f"nothing to do in slot '{self.slot.spec.name}': {why}")

    def wanted(self, least: int, most: int, alpha_target: float) -> Plan:
        """Return a plan of as many germinations as the decision names.

        If it names no number, of up to `most`, of which those after the first `least` are optional.
        """
        number = self.decision.num_seeds
        if number is not None:
            return self.germination(number, alpha_target)
        plan = self.germination(most, alpha_target)
        further = (replace(change, is_optional=True) for change in plan.changes[least:])
        return replace(plan, changes=(*plan.changes[:least], *further))

    def germination(self, count: int, alpha_target: float) -> Plan:
        """Return a plan of up to `count` germinations, whose seeds the strategy chooses later.

        Each gets a different blueprint out of those that dormant seeds are bound to.
        """
        names = dict.fromkeys(seed.bound for seed in self.dormant)
        offered = [name for name in names if name not in self.decision.barred]
        if not self.may_grow:
            return self.nothing("growth is over")
        if not self.dormant:
            return self.nothing("no seed is dormant")
        if not offered:
            return self.nothing("every blueprint on offer is barred")
        if count < 1:
            return self.nothing("no seed was asked for")
        number = min(count, len(offered))
        change = SeedChange(action=Action.GERMINATE, alpha_target=alpha_target)
        reasoning = (
            f"germinate {number} of {len(self.dormant)} dormant seeds of slot "
            f"'{self.slot.spec.name}' at alpha {alpha_target:g}, each with a blueprint of its own "
            f"out of {', '.join(offered)}"
        )
        return self.plan((change,) * number, reasoning)

    def first_germination(self, alpha_target: float) -> Plan:
        """Return the plan for a slot without a live seed: a germination if asked to add."""
        if self.decision.adaptation in (Adaptation.ADD_NEURONS, Adaptation.ADD_LAYER):
            return self.germination(1, alpha_target)
        return self.nothing("no seed is live")

    def verdict(self) -> Plan:
        """Return the plan that fossilizes or culls the decision's seed; empty if not allowed.

        Raises:
            ValueError: if the decision names no seed of the slot.
        """
        action, target = VERDICTS[self.decision.kind]
        index = self.decision.seed
        seed = next((seed for seed in self.slot.seeds if seed.seed == index), None)
        if seed is None:
            raise ValueError(f"slot '{self.slot.spec.name}' has no seed {index} to {action}")
        if target not in ALLOWED_MOVES[seed.stage]:
            return self.nothing(f"seed {index} is {seed.stage}, never to {target}")
        return self.plan((SeedChange(action=action, seed=index),), self.decision.reason)
