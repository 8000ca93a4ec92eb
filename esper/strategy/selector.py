"""Fill in the seed and blueprint of every germination of a plan: viability first, then strategy."""

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from esper.contracts.arm import ArmStats
from esper.contracts.plan import Action, Alternative, Plan, SeedChange, Selection
from esper.contracts.slot import next_binding
from esper.strategy.base import SelectionContext, Strategy
from esper.strategy.ledger import Ledger
from esper.strategy.viability import SelectionInputs, Taken, Viability, viable

_Offer = dict[int, str]  # blueprint by seed


@dataclass(frozen=True)
class Selector:
    """Chooses seeds.  The ledger is read, never written; of the selector only `rng` moves on."""

    strategy: Strategy
    viability: Viability
    ledger: Ledger
    rng: Random

    def choose(self, plan: Plan, inputs: SelectionInputs) -> tuple[Plan, tuple[Selection, ...]]:
        """Return `plan` with every germination filled in, and one selection per germination.

        A germination for which nothing can be had is dropped; its selection names no seed and says
        why.  A seed that the plan names stays.  The germinations of one plan get different seeds
        and different blueprints.
        """
        booking = Taken.of(plan)
        changes: list[SeedChange] = []
        selections: list[Selection] = []
        for change in plan.changes:
            if change.action is not Action.GERMINATE:
                changes.append(change)
                continue
            selection = self._select(change, inputs, booking, len(selections))
            selections.append(selection)
            if selection.seed is None or selection.blueprint is None:
                continue
            if change.seed is None:
                booking = booking.plus(selection.seed, selection.blueprint)
            changes.append(
                SeedChange(
                    action=Action.GERMINATE,
                    seed=selection.seed,
                    blueprint=selection.blueprint,
                    alpha_target=change.alpha_target,
                )
            )
        return replace(plan, changes=tuple(changes)), tuple(selections)

    def candidates(self, plan: Plan, inputs: SelectionInputs) -> tuple[int, ...]:
        """Return the seeds that `choose` may offer, so that they can be measured before.

        Memory is not asked for yet, since it is among what is measured.  Seed 0 is among them
        where the others do not suffice and it may have to serve as the fallback.
        """
        unweighed = replace(self, viability=replace(self.viability, memory_budget_mb=None))
        booking = Taken.of(plan)
        offered: set[int] = set()
        open_changes = [
            change
            for change in plan.changes
            if change.action is Action.GERMINATE and change.seed is None
        ]
        for change in open_changes:
            offered.update(unweighed._offer(change, inputs, booking)[0])
            if self.viability.fallback_to_zero and len(offered) < len(open_changes):
                spare, _ = unweighed._offer(change, inputs, booking, rested=False)
                offered.update({0} & spare.keys())
        return tuple(sorted(offered))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of `rng`, as JSON holds it; the ledger saves itself."""
        version, words, gauss = self.rng.getstate()
        return {"rng": [version, list(words), gauss]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        version, words, gauss = state["rng"]
        self.rng.setstate((version, tuple(words), gauss))

    def _select(
        self, change: SeedChange, inputs: SelectionInputs, booking: Taken, made: int
    ) -> Selection:
        if change.seed is not None:
            return self._named(change, inputs, booking)
        offer, refused = self._offer(change, inputs, booking)
        if not offer:
            return self._fallback(change, inputs, booking, _told(refused))
        spec = inputs.state.spec
        arms = [
            self.ledger.arm(
                spec, seed, blueprint, inputs.first_order.get(seed), self.strategy.window_size
            )
            for seed, blueprint in offer.items()
        ]
        context = SelectionContext(inputs.urgency, self.ledger.selections + made)
        scores = self.strategy.scores(arms, context, self.rng)
        best = _best(scores, arms)
        others = tuple(
            [
                Alternative(seed=arm.seed, blueprint=arm.blueprint, score=_finite(score))
                for i, (arm, score) in enumerate(zip(arms, scores, strict=True))
                if i != best or score == -math.inf
            ]
        )
        if scores[best] == -math.inf:
            return self._nothing(inputs, others, f"{self.strategy.name} wants none of the viable")
        reason = _why(arms[best], scores[best], scores)
        return Selection(
            strategy=self.strategy.name,
            slot=spec.name,
            seed=arms[best].seed,
            blueprint=arms[best].blueprint,
            score=_finite(scores[best]),
            alternatives=others,
            reason=f"{reason}; refused: {_told(refused)}" if refused else reason,
        )

    def _offer(
        self, change: SeedChange, inputs: SelectionInputs, booking: Taken, *, rested: bool = True
    ) -> tuple[_Offer, dict[int, str]]:
        """Return the blueprint by viable seed, and the reason by refused seed."""
        seeds, refused = viable(self.viability, inputs, booking, rested=rested)
        offer: _Offer = {}
        for seed in seeds:
            blueprint = change.blueprint or inputs.state.seeds[seed].bound
            if change.blueprint is None and blueprint in inputs.barred:
                refused[seed] = f"'{blueprint}' is barred"
            elif change.blueprint is None and blueprint in booking.blueprints:
                refused[seed] = f"'{blueprint}' is in this plan already"
            else:
                offer[seed] = blueprint
        return offer, refused

    def _named(self, change: SeedChange, inputs: SelectionInputs, booking: Taken) -> Selection:
        assert change.seed is not None
        bound = [seed.bound for seed in inputs.state.seeds]
        blueprint = change.blueprint or bound[change.seed]
        if change.blueprint is None and change.seed in booking.leaving:
            blueprint = next_binding(inputs.state.spec.catalogue, bound, change.seed)
        return Selection(
            strategy=self.strategy.name,
            slot=inputs.state.spec.name,
            seed=change.seed,
            blueprint=blueprint,
            score=None,
            alternatives=(),
            reason="named by the plan",
        )

    def _fallback(
        self, change: SeedChange, inputs: SelectionInputs, booking: Taken, refusals: str
    ) -> Selection:
        # Only the rest is waived: the other limits hold for a fallback too.
        offer, _ = self._offer(change, inputs, booking, rested=False)
        if not self.viability.fallback_to_zero or 0 not in offer:
            return self._nothing(inputs, (), f"no viable seed: {refusals}")
        return Selection(
            strategy=self.strategy.name,
            slot=inputs.state.spec.name,
            seed=0,
            blueprint=offer[0],
            score=None,
            alternatives=(),
            reason=f"fallback to seed 0, no viable seed: {refusals}",
        )

    def _nothing(
        self, inputs: SelectionInputs, others: tuple[Alternative, ...], reason: str
    ) -> Selection:
        return Selection(
            strategy=self.strategy.name,
            slot=inputs.state.spec.name,
            seed=None,
            blueprint=None,
            score=None,
            alternatives=others,
            reason=reason,
        )


def _best(scores: list[float], arms: list[ArmStats]) -> int:
    highest = max(scores)
    tied = [index for index, score in enumerate(scores) if score == highest]
    if len(tied) == 1:
        return tied[0]
    return max(tied, key=lambda index: _standing(arms[index]))


def _standing(arm: ArmStats) -> tuple[float, int]:
    return (-math.inf if arm.first_order is None else arm.first_order, -arm.seed)


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _why(arm: ArmStats, score: float, scores: list[float]) -> str:
    if len(scores) == 1:
        return "the only viable seed"
    if score == math.inf:
        told = "first-order score" if arm.first_order is not None else "index"
        return f"untried, first by {told} of {scores.count(math.inf)} untried"
    return (
        f"highest score of {len(scores)} viable seeds, "
        f"mean reward {arm.mean_reward:.2f} of {arm.trials} trials"
    )


def _told(refused: dict[int, str]) -> str:
    return ", ".join([f"seed {seed} {reason}" for seed, reason in refused.items()])
