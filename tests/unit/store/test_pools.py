"""The pools of a ledger in numbers, by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from esper.store.pools import summarise

Make = Callable[..., Any]


def test_by_hand(make_entry: Make) -> None:
    first, second = summarise(
        [
            make_entry("0", reward=1.0, loss_reduction=0.1, success=True),
            make_entry("1", reward=3.0, loss_reduction=-0.3),
            make_entry("2", reward=None, run="later"),
            make_entry("3", blueprint="b", reward=0.5, run="alone"),
        ]
    )
    assert (first.slot_kind, first.placement, first.blueprint) == ("dense", "parallel", "a")
    assert (first.trials, first.rewards, first.last_run) == (3, 2, "later")
    assert first.mean_reward == 2.0
    assert first.spread == pytest.approx(2**0.5)
    assert first.mean_gain == pytest.approx(-0.1)
    assert first.success_share == pytest.approx(1 / 3)
    assert (second.blueprint, second.trials, second.last_run) == ("b", 1, "alone")
    assert (second.mean_reward, second.spread, second.mean_gain) == (0.5, None, None)


def test_a_repeated_entry_counts_once_and_an_unmeasured_pool_has_no_mean(make_entry: Make) -> None:
    (pool,) = summarise([make_entry("0", reward=None), make_entry("0", reward=None)])
    assert (pool.trials, pool.rewards, pool.mean_reward) == (1, 0, None)


def test_pools_are_in_the_order_of_their_keys(make_entry: Make) -> None:
    names = ("task_family", "reward_model", "slot_kind", "placement", "blueprint")
    keys = [
        ("image", "gain", "dense", "series", "a"),
        ("image", "gain", "dense", "parallel", "b"),
        ("image", "gain", "dense", "parallel", "a"),
        ("image", "sparse", "dense", "parallel", "a"),
        ("vector", "gain", "dense", "parallel", "a"),
    ]
    pools = summarise(
        [make_entry(str(n), **dict(zip(names, key, strict=True))) for n, key in enumerate(keys)]
    )
    assert [tuple(getattr(p, name) for name in names) for p in pools] == sorted(keys)
    assert [p.trials for p in pools] == [1] * 5
    assert summarise([]) == []
