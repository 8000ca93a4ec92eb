"""A rested seed tries what the ledger expects most of."""

from typing import Any

import pytest

from esper.contracts.event import LifecycleMove
from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.stage import SeedStage
from esper.grower.binding import bind_rested
from esper.strategy.ledger import Ledger
from tests.unit.grower.ranked import blocks

NAMES = ("affine", "mlp", "lora", "gated_mlp")


def ledger_of(**rewards: float) -> Ledger:
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
    return ledger


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
        ({}, "lora", "lora, expected standing 0.50 (gated_mlp 0.50, affine 0.50)"),
        # Mean 2, deviation 1.41: standings 0.32 and 0.68; nothing is known of gated_mlp.
        (
            {"lora": 1.0, "affine": 3.0},
            "affine",
            "affine, expected standing 0.68 (lora 0.32, gated_mlp 0.50)",
        ),
        (
            {"lora": 1.0, "mlp": 3.0},
            "gated_mlp",
            "gated_mlp, expected standing 0.50 (lora 0.32, affine 0.50)",
        ),
    ],
)
def test_a_rested_seed_is_bound_to_the_best_free_blueprint(
    rewards: dict[str, float], bound: str, why: str
) -> None:
    host = blocks(1, NAMES, num_seeds=2)
    (move,) = bind_rested([rested(0, "affine")], host, ledger_of(**rewards))
    assert [seed.bound for seed in host.slots["0"].seeds] == [bound, "mlp"]
    assert move.reason == f"rested 5 epochs; bound to {why}"


def test_two_seeds_that_rested_together_get_different_blueprints() -> None:
    host = blocks(1, NAMES, num_seeds=2)
    bind_rested([rested(0, "affine"), rested(1, "mlp")], host, ledger_of(lora=9.0, mlp=1.0))
    assert [seed.bound for seed in host.slots["0"].seeds] == ["lora", "gated_mlp"]


def test_other_moves_bind_nothing() -> None:
    host, move = blocks(1, NAMES, num_seeds=2), rested(0, "affine", SeedStage.TRAINING)
    assert bind_rested([move], host, ledger_of(lora=9.0, mlp=1.0)) == [move]
    assert host.slots["0"].seeds[0].bound == "affine"
