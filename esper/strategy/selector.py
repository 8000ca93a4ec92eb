"""Fill in the seed and blueprint of every germination of a plan: viability first, then strategy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import SeedHistory
from esper.contracts.plan import Action, Alternative, Plan, SeedChange, Selection
from esper.contracts.slot import SlotSpec, SlotState, next_binding
from esper.strategy.base import Context, Strategy, View
from esper.strategy.ledger import Ledger
from esper.strategy.prior import NO_PRIOR, Prior, first_order_priors
from esper.strategy.viability import SelectionInputs, Viability, leaving, viable

_Offer = dict[int, str]  # blueprint by seed


@dataclass(frozen=True)
class Selector:
    """Chooses seeds.  Choosing reads the ledger and advances `rng`; it changes nothing else."""

    strategy: Strategy
    viability: Viability
    ledger: Ledger
    rng: Random

    def choose(self, plan: Plan, inputs: SelectionInputs) -> tuple[Plan, tuple[Selection, ...]]:
        """Return `plan` with every germination filled in, and one selection per germination.

        A germination without a viable seed is dropped, and its selection gives the reason.  An
        optional one of which a reward below 0 is expected is dropped with those after it.  A seed
        that the plan names stays; if the strategy wants none of the blueprints offered to it, the
        plan is empty.  The germinations get different seeds and different blueprints.
        """
        filled = plan
        selections: list[Selection] = []
        for index, change in enumerate(plan.changes):
            if change.action is not Action.GERMINATE:
                continue
            selection = self._select(change, inputs, filled, len(selections))
            selections.append(selection)
            if selection.seed is None and change.seed is not None:
                # Without its germination a replacement is a cull, which is not this plan's.
                return replace(plan, changes=()), tuple(selections)
            if selection.seed is None and change.is_optional:
                break
            if selection.seed is not None:
                chosen = replace(change, seed=selection.seed, blueprint=selection.blueprint)
                changes = (*filled.changes[:index], chosen, *filled.changes[index + 1 :])
                filled = replace(filled, changes=changes)
        if any(selection.seed is None for selection in selections):
            changes = tuple(
                change
                for change in filled.changes
                if change.action is not Action.GERMINATE or change.blueprint is not None
            )
            filled = replace(filled, changes=changes)
        return filled, tuple(selections)

    def candidates(self, plan: Plan, inputs: SelectionInputs) -> tuple[int, ...]:
        """Return the seeds that `choose` may offer, so that their kernels can be measured first.

        The memory budget does not apply yet, because their memory is not measured yet.
        """
        unweighed = replace(inputs, memory_budget_mb=None)
        offered: set[int] = set()
        for change in plan.changes:
            if change.action is Action.GERMINATE and change.seed is None:
                offered.update(self._offer(change, unweighed, plan)[0])
        return tuple(sorted(offered))

    def expected(self, spec: SlotSpec, seed: int, blueprints: Sequence[str]) -> dict[str, float]:
        """Return the mean reward, mapped to [0, 1], of each blueprint, the strategy's choice first.

        The others follow by their scores; equals stay in the order given.
        """
        arms = self._arms(spec, [(seed, name, NO_PRIOR) for name in blueprints])
        context = Context(selections=self.ledger.selections, noise=self.ledger.noise)
        scores = self.strategy.scores(arms, context, self.rng)
        ranked = sorted(zip(scores, arms, strict=True), key=lambda pair: -pair[0])
        return {arm.blueprint: arm.mean_reward for _, arm in ranked}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of `rng`, ready for JSON; the ledger saves its own."""
        version, words, gauss = self.rng.getstate()
        return {"rng": [version, list(words), gauss]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        version, words, gauss = state["rng"]
        self.rng.setstate((version, tuple(words), gauss))

    def _select(
        self, change: SeedChange, inputs: SelectionInputs, plan: Plan, num_made: int
    ) -> Selection:
        select = partial(Selection, strategy=self.strategy.name, slot=plan.slot)
        if change.seed is not None and change.offered:
            return self._best(self._named(change, inputs), {}, inputs, num_made, change)
        if change.seed is not None:
            blueprint = change.blueprint or _next_blueprint(change.seed, inputs.state, plan)
            return select(seed=change.seed, blueprint=blueprint, reason="named by the plan")
        offer, refused = self._offer(change, inputs, plan)
        if offer:
            # What was measured is the blueprint that a seed is bound to, not one of the plan.
            weight = self.strategy.first_order_weight if change.blueprint is None else 0.0
            # Ranked among all that were measured: what an earlier change took still counts.
            priors = first_order_priors(inputs.first_order, weight)
            arms = [(seed, name, priors.get(seed, NO_PRIOR)) for seed, name in offer.items()]
            return self._best(arms, refused, inputs, num_made, change)
        return select(reason=f"no viable seed: {_in_words(refused)}")

    def _named(self, change: SeedChange, inputs: SelectionInputs) -> list[tuple[int, str, Prior]]:
        """Return the arms of the blueprints that a plan offers to the seed that it names."""
        assert change.seed is not None
        known = {p.blueprint: p.first_order for p in inputs.state.prospects}
        scores = {name: score for name in change.offered if (score := known.get(name)) is not None}
        priors = first_order_priors(scores, self.strategy.first_order_weight)
        return [(change.seed, name, priors.get(name, NO_PRIOR)) for name in change.offered]

    def _best(
        self,
        offer: list[tuple[int, str, Prior]],
        refused: dict[int, str],
        inputs: SelectionInputs,
        num_made: int,
        change: SeedChange,
    ) -> Selection:
        spec = inputs.state.spec
        selections = self.ledger.selections + num_made
        context = Context(inputs.urgency, selections, self.ledger.noise)
        strategy = self.strategy
        arms = self._arms(spec, offer, inputs)
        scores = strategy.scores(arms, context, self.rng)
        best = _argmax(scores, arms)
        least = self.ledger.break_even if change.is_optional else 0.0
        why_not = _why_not(strategy.name, arms[best], scores[best], least)
        others = tuple(
            [
                Alternative(seed=arm.seed, blueprint=arm.blueprint, score=_finite(score))
                for i, (arm, score) in enumerate(zip(arms, scores, strict=True))
                if i != best or why_not
            ]
        )
        select = partial(
            Selection, strategy=self.strategy.name, slot=spec.name, alternatives=others
        )
        if why_not:
            return select(reason=why_not)
        reason = _why(arms[best], scores[best], scores, "blueprint" if change.offered else "seed")
        if not change.offered:
            # Of a seed that is replaced, the present trial has not settled yet.
            reason += _past(self.ledger.history(spec.name, arms[best].seed))
        return select(
            seed=arms[best].seed,
            blueprint=arms[best].blueprint,
            score=_finite(scores[best]),
            reason=f"{reason}; refused: {_in_words(refused)}" if refused else reason,
        )

    def _arms(
        self,
        spec: SlotSpec,
        offer: Sequence[tuple[int, str, Prior]],
        inputs: SelectionInputs | None = None,
    ) -> list[ArmStats]:
        strategy, arm = self.strategy, self.ledger.arm
        view = View(strategy.window_size, strategy.latest_size, is_network=strategy.is_network)
        if inputs is None or not strategy.is_contextual:
            return [arm(spec, seed, name, prior, view) for seed, name, prior in offer]
        return [
            arm(spec, seed, name, prior, view._replace(features=inputs.context_of(name)))
            for seed, name, prior in offer
        ]

    def _offer(
        self, change: SeedChange, inputs: SelectionInputs, plan: Plan
    ) -> tuple[_Offer, dict[int, str]]:
        """Return the blueprint by viable seed, and the reason by refused seed."""
        seeds, refused = viable(self.viability, inputs, plan)
        if change.blueprint is not None:
            return dict.fromkeys(seeds, change.blueprint), refused
        planned = {c.blueprint for c in plan.changes}
        offer: _Offer = {}
        for seed in seeds:
            blueprint = inputs.state.seeds[seed].bound
            if blueprint in inputs.barred:
                refused[seed] = f"'{blueprint}' is barred"
            elif blueprint in planned:
                refused[seed] = f"'{blueprint}' is in this plan already"
            else:
                offer[seed] = blueprint
        return offer, refused


def _next_blueprint(seed: int, state: SlotState, plan: Plan) -> str:
    """Return the blueprint of a seed that the plan names, after a cull in the same plan."""
    bound = [each.bound for each in state.seeds]
    if seed in leaving(plan):
        return next_binding(state.spec.catalogue, bound, seed)
    return bound[seed]


def _why_not(strategy: str, arm: ArmStats, score: float, least: float) -> str | None:
    """Return why not even the best arm germinates, None if it does."""
    if score == -math.inf:
        return f"{strategy} wants none of the viable"
    if arm.mean_reward < least:
        standing = f"{arm.blueprint} has standing {arm.mean_reward:.2f} (0 worst, 1 best)"
        other = f"a reward of 0 has {least:.2f}" if least < math.inf else "no reward is known yet"
        return f"{strategy} wants no more: {standing}, and {other}"
    return None


def _argmax(scores: list[float], arms: list[ArmStats]) -> int:
    highest = max(scores)
    tied = [index for index, score in enumerate(scores) if score == highest]
    return max(tied, key=lambda index: _standing(arms[index]))


def _standing(arm: ArmStats) -> tuple[float, int]:
    return (-math.inf if arm.first_order is None else arm.first_order, -arm.seed)


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _why(arm: ArmStats, score: float, scores: list[float], kind: str) -> str:
    if len(scores) == 1:
        return f"the only viable {kind}"
    if score == math.inf:
        order = "first-order score" if arm.first_order is not None else "index"
        return f"untried, first by {order} of {scores.count(math.inf)} untried"
    # The mapped mean is no reward, which is in [-1, 1], so it has another name.
    standing = f"standing among all rewards {arm.mean_reward:.2f} (0 worst, 1 best)"
    tries = "1 trial" if arm.own_trials == 1 else f"{arm.own_trials:.3g} trials"
    prior = f" and a prior worth {arm.prior_trials:.2g}" if arm.prior_trials else ""
    return f"highest score of {len(scores)} viable {kind}s; {standing}, from {tries} here{prior}"


def _past(history: SeedHistory) -> str:
    """Return what became of the seed's earlier activations, in words that continue a reason."""
    if not history.activations:
        return ""
    times = "once" if history.activations == 1 else f"{history.activations} times"
    last = f"last at epoch {history.activated_epoch}"
    return f"; this seed was tried {times} before ({history.failures} failed), {last}"


def _in_words(refused: dict[int, str]) -> str:
    return ", ".join([f"seed {seed} {reason}" for seed, reason in refused.items()])
