"""Make the choices of a run again: by each strategy, and without the rewards of the run.

Without them (`blind`; rewards of other runs and of a prior stay) the seeds that have rested are
bound anew too, as the product binds them, and what could replace a kernel must be expected to pass
its verdict.  A blueprint that was not measured then has its last first-order score, if it has one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

from esper.contracts.plan import Plan
from esper.contracts.slot import SlotState, free_bindings
from esper.contracts.stage import SeedStage
from esper.grower import prospects
from esper.policy.rules.verdict import VerdictRules, would_keep
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.expectation import expected_gains
from esper.strategy.ledger import Ledger
from esper.strategy.performance_weighted import PerformanceWeighted
from esper.strategy.selector import Selector
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs
from experiments.choosers import CHOOSE, choosing_by

STRATEGIES = (UCB(), Thompson(), EpsilonGreedy(), PerformanceWeighted())
_REWARDS = ("scale", "arms", "pools", "latest", "entries")
"""Parts of a ledger's state that rewards change."""

Row = dict[str, Any]


Asked = tuple[SlotState, Sequence[str], Mapping[str, float]]


class Replay:
    """Makes every choice of a run again.

    choices: a row for each.
    asked: by slot, of what the last prospects were foreseen: its state then, the blueprints and
        their first-order scores.
    """

    def __init__(self, rules: VerdictRules) -> None:
        self.rules = rules
        self.choices: list[Row] = []
        self.asked: dict[str, Asked] = {}
        self._start: dict[str, Any] | None = None
        self._scores: dict[tuple[str, str], float] = {}

    def note(self, selector: Selector, plan: Plan, inputs: SelectionInputs) -> None:
        """Add the choice that a selector is about to make; its state does not change."""
        ledger = selector.ledger
        self._start = self._start or ledger.state_dict()
        if all(change.seed is not None and not change.offered for change in plan.changes):
            return
        blank = Ledger(ledger.task_family, ledger.reward_model)
        known = {**ledger.state_dict(), **{part: self._start[part] for part in _REWARDS}}
        blank.load_state_dict(known)
        for seed, score in inputs.first_order.items():
            self._scores[plan.slot, inputs.state.seeds[seed].bound] = score
        others = {each.name: replace(selector, strategy=each) for each in STRATEGIES}
        arms = {"chosen": selector, **others}
        made = {name: _chosen(arm, plan, inputs) for name, arm in arms.items()}
        unrewarded = replace(selector, ledger=blank, rng=_copy(selector.rng))
        blind = self._bound_anew(ledger, unrewarded, inputs)
        promising = self._offered_anew(plan, inputs.state, blank)
        made["blind"] = [] if promising is None else _chosen(unrewarded, promising, blind)
        if made["chosen"]:
            settled = len(ledger.entries_of_run())
            self.choices.append({"epoch": inputs.epoch, "settled": settled, **made})

    def _offered_anew(self, plan: Plan, state: SlotState, blank: Ledger) -> Plan | None:
        """Return a plan that offers what is worth a trial in place of a kernel without rewards.

        None if nothing is; a plan that replaces nothing stays.
        """
        fitting = [each for each in state.prospects if each.fits]
        observed, names, first_order = self.asked.get(state.spec.name, (state, (), {}))
        gains = expected_gains(blank, observed, names, first_order)
        changes = list(plan.changes)
        for index, change in enumerate(changes):
            if not change.offered:
                continue
            assert change.seed is not None, "a replacement names its seed"
            seed = state.seeds[change.seed]
            worth = [
                each.blueprint
                for each in fitting
                if would_keep(replace(each, expected_gain=gains[each.blueprint]), seed, self.rules)
            ]
            if not worth:
                return None
            changes[index] = replace(change, offered=tuple(worth))
        return replace(plan, changes=tuple(changes))

    def _bound_anew(
        self, ledger: Ledger, unrewarded: Selector, inputs: SelectionInputs
    ) -> SelectionInputs:
        """Return the inputs with rested seeds bound by a selector that knows no rewards."""
        spec, seeds = inputs.state.spec, list(inputs.state.seeds)
        last = {
            entry.seed: entry.blueprint
            for entry in ledger.entries_of_run()
            if entry.slot == spec.name
        }
        for index, seed in enumerate(seeds):
            if seed.stage is SeedStage.DORMANT and index in last:
                bound = [each.bound for each in seeds]
                bound[index] = last[index]
                free = free_bindings(spec.catalogue, bound, index)
                best = next(iter(unrewarded.expected(spec, index, free)))
                seeds[index] = replace(seed, bound=best)
        known = {
            index: self._scores[spec.name, seeds[index].bound]
            for index in inputs.first_order
            if (spec.name, seeds[index].bound) in self._scores
        }
        state = replace(inputs.state, seeds=tuple(seeds))
        return replace(inputs, state=state, first_order=known)


def _chosen(selector: Selector, plan: Plan, inputs: SelectionInputs) -> list[str]:
    """Return the blueprints that a selector would choose, sorted; its rng does not advance."""
    filled, _ = CHOOSE(replace(selector, rng=_copy(selector.rng)), plan, inputs)
    return sorted(blueprint for _, blueprint in filled.germinations)


def _copy(rng: Random) -> Random:
    copy = Random()
    copy.setstate(rng.getstate())
    return copy


@contextmanager
def replayed(rules: VerdictRules) -> Iterator[Replay]:
    """Replay the choices of the runs inside the `with` block; `rules` are those of its policy."""
    replay = Replay(rules)

    def choose(selector: Selector, plan: Plan, inputs: SelectionInputs) -> Any:
        replay.note(selector, plan, inputs)
        return CHOOSE(selector, plan, inputs)

    def foresee(
        ledger: Ledger, slot: SlotState, names: Sequence[str], first_order: Mapping[str, float]
    ) -> dict[str, float | None]:
        replay.asked[slot.spec.name] = slot, names, first_order
        return expected_gains(ledger, slot, names, first_order)

    with choosing_by(choose), patch.object(prospects, "expected_gains", foresee):
        yield replay
