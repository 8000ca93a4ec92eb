"""A rested seed tries what the strategy chooses."""

from random import Random
from typing import Any

import pytest

from esper.contracts.event import LifecycleMove
from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.stage import SeedStage
from esper.grower.binding import bind_rested
from esper.strategy.base import Strategy
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.fixed import Fixed
from esper.strategy.ledger import Ledger
from esper.strategy.random import Random as RandomStrategy
from esper.strategy.selector import Selector
from esper.strategy.ucb import UCB
from esper.strategy.viability import Viability
from tests.unit.grower.ranked import blocks

NAMES = ("affine", "mlp", "lora", "gated_mlp")


BEST_MEAN = EpsilonGreedy(epsilon=0.0)


def selector_of(
    rewards: dict[str, float], strategy: Strategy = BEST_MEAN, rng_seed: int = 0
) -> Selector:
    ledger = Ledger()
    for blueprint, reward in rewards.items():
        values: dict[str, Any] = {"slot_kind": "dense", "placement": "parallel"}
        ledger.record(
            LedgerEntry(
                run="run",
                event=blueprint,
                slot="0",
                seed=0,
                blueprint=blueprint,
                task_family=UNKNOWN,
                reward_model=UNKNOWN,
                epoch=7,
                reward=reward,
                **values,
            )
        )
    return Selector(strategy, Viability(), ledger, Random(rng_seed))


def rested(seed: int, blueprint: str, stage: SeedStage = SeedStage.DORMANT) -> LifecycleMove:
    return LifecycleMove(
        slot="0",
        seed=seed,
        blueprint=blueprint,
        from_stage=SeedStage.RESETTING,
        to_stage=stage,
        gate=None,
        reason="rested 5 epochs",
    )


@pytest.mark.parametrize(
    ("rewards", "bound", "why"),
    [
        (
            {},
            "lora",
            "lora, expected standing 0.50 (others by its score: gated_mlp 0.50, affine 0.50)",
        ),
        # Mean 2, deviation 1: a standing is 0.5 and a quarter of a reward's deviations.
        (
            {"lora": 1.0, "affine": 3.0, "gated_mlp": 2.0},
            "affine",
            "affine, expected standing 0.75 (others by its score: gated_mlp 0.50, lora 0.25)",
        ),
        # Untried is first.
        (
            {"lora": 1.0, "affine": 3.0},
            "gated_mlp",
            "gated_mlp, expected standing 0.50 (others by its score: affine 0.68, lora 0.32)",
        ),
    ],
)
def test_a_rested_seed_is_bound_to_the_best_free_blueprint(
    rewards: dict[str, float], bound: str, why: str
) -> None:
    host = blocks(1, NAMES, num_seeds=2)
    (move,) = bind_rested([rested(0, "affine")], host, selector_of(rewards))
    assert [seed.bound for seed in host.slots["0"].seeds] == [bound, "mlp"]
    assert move.reason == f"rested 5 epochs; epsilon_greedy binds it to {why}"


@pytest.mark.parametrize(
    ("strategy", "bound"),
    [
        (UCB(), "affine"),
        # It knows no scores, so the next in the catalogue's order is as good as any.
        (Fixed(), "lora"),
    ],
)
def test_the_strategy_chooses_the_binding(strategy: Strategy, bound: str) -> None:
    host, rewards = blocks(1, NAMES, num_seeds=2), {"lora": 1.0, "affine": 3.0, "gated_mlp": 2.0}
    bind_rested([rested(0, "affine")], host, selector_of(rewards, strategy))
    assert host.slots["0"].seeds[0].bound == bound


def test_random_bindings_do_not_read_rewards() -> None:
    found = set()
    for rng_seed in range(20):
        host = blocks(1, NAMES, num_seeds=2)
        selector = selector_of({"lora": 9.0}, RandomStrategy(), rng_seed)
        bind_rested([rested(0, "affine")], host, selector)
        found.add(host.slots["0"].seeds[0].bound)
    assert found == {"affine", "lora", "gated_mlp"}


def test_two_seeds_that_rested_together_get_different_blueprints() -> None:
    host = blocks(1, NAMES, num_seeds=2)
    selector = selector_of({"lora": 9.0, "mlp": 1.0, "gated_mlp": 5.0, "affine": 0.0})
    bind_rested([rested(0, "affine"), rested(1, "mlp")], host, selector)
    assert [seed.bound for seed in host.slots["0"].seeds] == ["lora", "gated_mlp"]


def test_other_moves_bind_nothing() -> None:
    host, move = blocks(1, NAMES, num_seeds=2), rested(0, "affine", SeedStage.TRAINING)
    assert bind_rested([move], host, selector_of({"lora": 9.0, "mlp": 1.0})) == [move]
    assert host.slots["0"].seeds[0].bound == "affine"
