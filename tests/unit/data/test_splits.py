"""Stratified splits and subsets: disjoint, with each class's share, fixed by the seed."""

import pytest
import torch

from esper.contracts.errors import DataError
from esper.data.splits import stratified, stratified_subset

LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)


def test_two_parts_are_disjoint_whole_and_of_each_classes_share() -> None:
    train, val = stratified(LABELS, {"val_fraction": 0.2}, 0)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(100))
    assert torch.bincount(LABELS[val]).tolist() == [12, 6, 2]


def test_the_first_part_held_out_is_the_same_with_and_without_a_second() -> None:
    _, val = stratified(LABELS, {"val_fraction": 0.2}, 4)
    _, first, second = stratified(LABELS, {"val_fraction": 0.2, "test_fraction": 0.3}, 4)
    assert torch.equal(val, first)
    assert torch.bincount(LABELS[second]).tolist() == [18, 9, 3]
    assert not set(first.tolist()) & set(second.tolist())


def test_a_class_too_small_for_both_parts_is_refused() -> None:
    words = r"data\.val_fraction=0\.04: the 10 samples of class 2 do not reach both parts"
    with pytest.raises(DataError, match=words):
        stratified(LABELS, {"val_fraction": 0.04}, 0)


@pytest.mark.parametrize(
    ("most", "counts"),
    [
        (50, [30, 15, 5]),
        # 60 %, 30 % and 10 % of 7 are 4.2, 2.1 and 0.7.
        (7, [4, 2, 1]),
        # 6.6, 3.3 and 1.1: the one left over goes to the largest remainder.
        (11, [7, 3, 1]),
        (100, [60, 30, 10]),
        (1000, [60, 30, 10]),
    ],
)
def test_a_subset_keeps_the_shares_of_the_classes(most: int, counts: list[int]) -> None:
    chosen = stratified_subset(LABELS, most, 0).tolist()
    assert torch.bincount(LABELS[chosen], minlength=3).tolist() == counts
    assert chosen == sorted(set(chosen))


def test_a_larger_subset_holds_the_smaller_and_the_seed_chooses() -> None:
    small, large = (set(stratified_subset(LABELS, most, 1).tolist()) for most in (20, 40))
    other = set(stratified_subset(LABELS, 20, 2).tolist())
    assert small < large
    assert small != other
