"""The selector: first-order scores as priors, and the context of a selection."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from esper.strategy.base import Strategy
from esper.strategy.ledger import Ledger
from esper.strategy.linthompson import LinThompson
from esper.strategy.linucb import LinUCB
from esper.strategy.selector import Selector
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

Make = Callable[..., Any]


def _selector(strategy: Strategy | None = None, ledger: Ledger | None = None) -> Selector:
    return Selector(strategy or UCB(), Viability(), ledger or Ledger(), Random(0))


def test_a_first_order_score_is_the_prior_mean_of_an_arm(
    make_state: Make, make_plan: Make, make_entry: Make
) -> None:
    ledger = Ledger()
    for index, (name, reward) in enumerate({"a": 1.0, "b": 5.0}.items()):
        ledger.record(make_entry(str(index), blueprint=name, reward=reward))

    def means(first_order: dict[int, float], weight: float = 1.0) -> list[float | None]:
        strategy = UCB(exploration_constant=0.0, first_order_weight=weight)
        inputs = SelectionInputs(state=make_state(3), epoch=0, first_order=first_order)
        _, (chosen,) = _selector(strategy, ledger).choose(make_plan(), inputs)
        scores = {each.seed: each.score for each in (chosen, *chosen.alternatives)}
        return [scores[seed] for seed in range(3)]

    # Rewards 1 and 5 map to 0.5 -+ 2 / (4 * sqrt(8)); the priors of three ranks are
    # 0.5 -+ 0.25 / sqrt(2/3) and 0.5, and count as a trial each.
    unit, worst, best = 2 / (4 * 8**0.5), 0.5 - 0.25 * 1.5**0.5, 0.5 + 0.25 * 1.5**0.5
    low, high = 0.5 - unit, 0.5 + unit
    known = {0: 10.0, 1: 30.0, 2: 20.0}
    assert means(known) == pytest.approx([(low + worst) / 2, (high + best) / 2, 0.5])
    assert means(known, weight=3.0) == pytest.approx(
        [(low + 3 * worst) / 4, (high + 3 * best) / 4, 0.5]
    )
    assert means(known, weight=0.0) == [pytest.approx(low), pytest.approx(high), None]
    # Without a score, an arm of which nothing is known comes first.
    assert means({0: 10.0, 1: 30.0}) == [
        pytest.approx((low + 0.25) / 2),
        pytest.approx((high + 0.75) / 2),
        None,
    ]


def test_what_a_plan_takes_leaves_the_ranks_of_the_others(
    make_state: Make, make_plan: Make
) -> None:
    inputs = SelectionInputs(state=make_state(3), epoch=0, first_order={0: 1.0, 1: 3.0, 2: 2.0})
    _, selections = _selector(UCB(exploration_constant=0.0)).choose(
        make_plan(num_germinations=3), inputs
    )
    step = 0.25 * 1.5**0.5
    assert [each.seed for each in selections] == [1, 2, 0]
    assert [each.score for each in selections] == pytest.approx([0.5 + step, 0.5, 0.5 - step])


def test_a_reason_names_the_prior(make_state: Make, make_plan: Make) -> None:
    inputs = SelectionInputs(state=make_state(3), epoch=0, first_order={0: 1.0, 1: 3.0, 2: 2.0})
    _, (selection,) = _selector().choose(make_plan(), inputs)
    assert (selection.seed, selection.reason) == (
        1,
        "highest score of 3 viable seeds; standing among all rewards 0.81 (0 worst, 1 best), "
        "from 0 trials here and a prior worth 0.25",
    )


@pytest.mark.parametrize("strategy", [LinUCB(alpha=0.0), LinThompson(scale=0.0)])
def test_a_contextual_strategy_reads_the_context(
    strategy: Strategy, make_state: Make, make_plan: Make, make_entry: Make
) -> None:
    ledger = Ledger()
    for index in range(20):
        share = index % 2
        for name, sign in (("a", 1), ("b", -1)):
            context = (1.0, 0.5, 0.5, float(share))
            reward = sign * (2.0 * share - 1)
            ledger.record(
                make_entry(f"{name}{index}", blueprint=name, reward=reward, context=context)
            )
    chosen = []
    for share in (0.0, 1.0):
        inputs = SelectionInputs(state=make_state(2), epoch=0, context=(1.0, 0.5, 0.5, share))
        _, (selection,) = _selector(strategy, ledger).choose(make_plan(), inputs)
        chosen.append(selection.blueprint)
    assert chosen == ["b", "a"]
