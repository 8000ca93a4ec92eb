"""Batches of situations with different numbers of slots and offers."""

import torch

from esper.learning.situation import collate
from tests.unit.learning.situations import make_situation


def test_a_batch_is_one_graph_in_parts() -> None:
    batch = collate([make_situation(0.1, 0.2, 0.3, slots=3), make_situation(0.4)])
    assert batch.num_actions == 4
    assert batch.nodes.shape == (5, 3)
    assert batch.edges.tolist() == [[0, 3], [1, 4]]
    assert batch.places.tolist() == [0, 1, 2, 3]
    assert batch.node_rows.tolist() == [0, 0, 0, 1, 1]
    assert batch.offer_rows.tolist() == [0, 0, 0, 1]
    assert batch.columns.tolist() == [1, 2, 3, 1]


def test_actions_that_are_not_allowed_or_not_there_have_no_number() -> None:
    barred = make_situation(0.1, 0.2, allowed=torch.tensor([True, False]))
    batch = collate([barred, make_situation(0.4, 0.5, 0.6, slots=3)])
    table = batch.table(torch.tensor([7.0, 8.0]), batch.values)
    none = -torch.inf
    expected = torch.tensor([[7.0, 0.1, none, none], [8.0, 0.4, 0.5, 0.6]])
    assert torch.equal(table, expected)
    assert table.softmax(1)[0, 2:].tolist() == [0.0, 0.0]


def test_means_are_taken_over_the_slots_of_each_situation() -> None:
    batch = collate([make_situation(0.1, slots=3), make_situation(0.4)])
    means = batch.slots_mean(batch.nodes)
    assert means.tolist() == [[3.0, 4.0, 5.0], [1.5, 2.5, 3.5]]


def test_a_slot_is_taken_once() -> None:
    left = make_situation(0.1, 0.2, 0.3, 0.4).without_slot(2)
    assert left.allowed.tolist() == [True, False, True, False]
