"""What every orchestrator reads before it plans, and the plain verdict that all of them share.

A live seed is scored in [0, 1] by the composite score of its present activation.  Where the ledger
knows none yet, what the observation says of its kernel is mapped to the same scale, on which a seed
that changes nothing scores 0.5 (see `composite` of the ledger's records):

    score = 0.5 + gain / 0.2, cut to [0, 1]

The lower of the credited gain and the ablation contribution counts: a negative contribution is a
veto.  A seed of which nothing was measured has no score: unknown is not bad.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import ALLOWED_MOVES, SeedStage
from esper.orchestrator.base import Knowledge

_ADDING = (Adaptation.ADD_NEURONS, Adaptation.ADD_LAYER)
_GAIN_RANGE = 0.2
_VERDICTS = {
    DecisionKind.FOSSILIZE: (Action.FOSSILIZE, SeedStage.FOSSILIZED),
    DecisionKind.CULL: (Action.CULL, SeedStage.CULLED),
}


def check_option(valid: bool, key: str, rule: str, value: object) -> None:
    """Raise `ValueError` naming the config key, the rule and the value unless `valid`."""
    if not valid:
        raise ValueError(f"orchestrator.{key} must be {rule}, got {value}")


def measured_score(seed: SeedState) -> float | None:
    """Return the score of the seed's present kernel, None when it was never measured."""
    measured = [value for value in (seed.gain, seed.ablation) if value is not None]
    if not measured:
        return None
    return min(1.0, max(0.0, 0.5 + min(measured) / _GAIN_RANGE))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """A decision beside the slot that it speaks of."""

    decision: Decision
    slot: SlotState
    may_grow: bool
    knowledge: Knowledge

    @classmethod
    def read(cls, decision: Decision, observation: Observation, knowledge: Knowledge) -> Self:
        """Return the request; see `Orchestrator.plan` for what it raises."""
        if decision.kind is DecisionKind.WAIT or decision.slot is None:
            raise ValueError(f"there is nothing to plan for a decision to {decision.kind} nowhere")
        slot = observation.slot(decision.slot)
        return cls(decision=decision, slot=slot, may_grow=observation.may_grow, knowledge=knowledge)

    @property
    def is_verdict(self) -> bool:
        """True when the decision fossilizes or culls one seed."""
        return self.decision.kind in _VERDICTS

    @property
    def asks_to_add(self) -> bool:
        """True when the decision wants the network bigger."""
        return self.decision.adaptation in _ADDING

    @property
    def dormant(self) -> tuple[SeedState, ...]:
        """The seeds that can germinate now; none once growth is over."""
        if not self.may_grow:
            return ()
        return tuple(seed for seed in self.slot.seeds if seed.stage is SeedStage.DORMANT)

    @property
    def offered(self) -> tuple[str, ...]:
        """Blueprints that dormant seeds are bound to and that are not barred, each once."""
        names = (seed.bound for seed in self.dormant)
        return tuple(dict.fromkeys(n for n in names if n not in self.decision.barred))

    def score(self, seed: SeedState) -> float | None:
        """Return the seed's score in [0, 1], None when it is unknown."""
        composite = self.knowledge.composite(seed.slot, seed.seed)
        return measured_score(seed) if composite is None else composite

    def plan(
        self, kind: str, changes: Sequence[SeedChange], tried: Iterable[str], reasoning: str
    ) -> Plan:
        """Return the plan; `tried` are the blueprints that may give an improvement."""
        spec = self.slot.spec
        gains = (self.knowledge.predicted_gain(spec, name) for name in dict.fromkeys(tried))
        return Plan(
            slot=spec.name,
            kind=kind,
            changes=tuple(changes),
            reasoning=reasoning,
            expected_improvement=max((gain for gain in gains if gain is not None), default=None),
            risk=self.decision.risk,
        )

    def nothing(self, kind: str, why: str) -> Plan:
        """Return an empty plan that says why there is nothing to do."""
        return self.plan(kind, (), (), f"nothing to do in slot '{self.slot.spec.name}': {why}")

    def germination(self, kind: str, count: int, alpha_target: float) -> Plan:
        """Return a plan that germinates up to `count` seeds, chosen later by the strategy.

        They get different blueprints, so there are never more than blueprints on offer.
        """
        offered = self.offered
        number = max(0, min(count, len(offered)))
        if not number:
            return self.nothing(kind, self._why_no_germination())
        change = SeedChange(action=Action.GERMINATE, alpha_target=alpha_target)
        reasoning = (
            f"germinate {number} of {len(self.dormant)} dormant seeds of slot "
            f"'{self.slot.spec.name}' at alpha {alpha_target:g}, each with a blueprint of its own "
            f"out of {', '.join(offered)}"
        )
        return self.plan(kind, (change,) * number, offered, reasoning)

    def _why_no_germination(self) -> str:
        """Return the reason for which no seed can germinate."""
        if not self.may_grow:
            return "growth is over"
        if not self.dormant:
            return "no seed is dormant"
        if not self.offered:
            return "every blueprint on offer is barred"
        return "no seed was asked for"


def verdict(request: PlanRequest) -> Plan:
    """Return the plan that fossilizes or culls the decision's one seed.

    The plan is empty when the seed's stage does not allow it.

    Raises:
        ValueError: if the decision names no seed of the slot.
    """
    action, target = _VERDICTS[request.decision.kind]
    index, name = request.decision.seed, request.slot.spec.name
    seed = next((seed for seed in request.slot.seeds if seed.seed == index), None)
    if seed is None:
        raise ValueError(f"slot '{name}' has no seed {index} to {action}")
    if target not in ALLOWED_MOVES[seed.stage]:
        return request.nothing("verdict", f"seed {index} is {seed.stage}, never to {target}")
    change = SeedChange(action=action, seed=index)
    return request.plan("verdict", (change,), (), request.decision.reason)
