"""Rows of a batch: samples, or samples at positions, in two halves."""

import torch

from esper.probe.rows import NUM_ROWS, rows


def test_the_rows_of_vectors_are_the_samples_of_both_halves() -> None:
    values = torch.arange(10.0).view(5, 2)
    # The last of five samples is left out.
    expected = torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]])
    assert torch.equal(rows(values, most_features=8), expected)


def test_the_rows_of_feature_maps_are_their_positions() -> None:
    maps = torch.arange(24.0).view(2, 3, 2, 2)
    found = rows(maps, most_features=8, has_features_last=False)
    assert found.shape == (2, 4, 3)
    assert torch.equal(found[1, 2], maps[1, :, 1, 0])


def test_the_rows_of_sequences_are_their_positions() -> None:
    sequences = torch.arange(24.0).view(4, 2, 3)
    found = rows(sequences, most_features=8)
    assert found.shape == (2, 4, 3)
    assert torch.equal(found[1, 3], sequences[3, 1])


def test_many_rows_and_features_are_thinned_out_evenly() -> None:
    maps = torch.arange(8.0 * 10 * 16 * 16).view(8, 10, 16, 16)
    found = rows(maps, most_features=4, has_features_last=False)
    # 4 * 256 rows of a half, every fifth: 1024 / 256 is even, and would keep few columns.
    assert found.shape == (2, 205, 4)
    assert found.shape[1] <= NUM_ROWS
    assert torch.equal(found[0, 1], maps[0, ::3, 0, 5])
    assert torch.equal(found[1, 204], maps[7, ::3, 15, 12])
    columns = {int(value) % 16 for value in found[0, :, 0]}
    assert columns == set(range(16))


def test_rows_are_of_single_precision_without_a_graph() -> None:
    values = torch.ones(4, 2, dtype=torch.bfloat16, requires_grad=True)
    found = rows(values, most_features=2)
    assert (found.dtype, found.requires_grad) == (torch.float32, False)
