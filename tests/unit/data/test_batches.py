"""An epoch draws every sample, in an order that only the generator determines."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esper.data.base import Split
from esper.data.batches import batches


def make_split(num_samples: int) -> Split:
    return Split(x=torch.arange(num_samples).float().unsqueeze(1), y=10 * torch.arange(num_samples))


def order_of(split: Split, batch_size: int, rng_seed: int, steps: int | None = None) -> list[int]:
    generator = torch.Generator().manual_seed(rng_seed)
    return [int(y) for _, ys in batches(split, batch_size, generator, steps) for y in ys]


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**31))
def test_a_pass_holds_every_sample_once(num_samples: int, batch_size: int, rng_seed: int) -> None:
    order = order_of(make_split(num_samples), batch_size, rng_seed)
    assert sorted(order) == [10 * i for i in range(num_samples)]


def test_the_last_batch_holds_what_is_left() -> None:
    sizes = [len(x) for x, _ in batches(make_split(10), 4)]
    assert sizes == [4, 4, 2]


def test_without_a_generator_samples_come_in_their_own_order() -> None:
    (x, y), *_ = batches(make_split(10), 3)
    assert x.flatten().tolist() == [0.0, 1.0, 2.0]
    assert y.tolist() == [0, 10, 20]


def test_answers_stay_with_their_samples_when_shuffled() -> None:
    for x, y in batches(make_split(50), 7, torch.Generator().manual_seed(1)):
        assert torch.equal(10 * x.flatten().long(), y)


def test_the_generator_decides_the_order() -> None:
    split = make_split(50)
    assert order_of(split, 8, rng_seed=0) == order_of(split, 8, rng_seed=0)
    assert order_of(split, 8, rng_seed=0) != order_of(split, 8, rng_seed=1)


def test_two_passes_of_one_generator_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = ([y.tolist() for _, y in batches(make_split(50), 50, generator)] for _ in "ab")
    assert first != second


def test_fewer_steps_than_a_pass_are_the_first_of_it() -> None:
    split = make_split(50)
    assert order_of(split, 8, rng_seed=3, steps=2) == order_of(split, 8, rng_seed=3)[:16]


def test_more_steps_than_a_pass_go_on_with_a_fresh_shuffle() -> None:
    order = order_of(make_split(10), 4, rng_seed=0, steps=7)
    passes = [order[:10], order[10:20], order[20:]]
    assert sorted(passes[0]) == sorted(passes[1]) == [10 * i for i in range(10)]
    assert passes[0] != passes[1]
    assert len(passes[2]) == 4


def test_global_chance_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(batches(make_split(10), 4, torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "steps"), [(10, 0, None), (10, 4, 0), (0, 4, None), (0, 4, 3)]
)
def test_nothing_to_draw_is_refused(num_samples: int, batch_size: int, steps: int | None) -> None:
    with pytest.raises(ValueError, match=r"must be >= 1|without samples"):
        batches(make_split(num_samples), batch_size, steps=steps)
