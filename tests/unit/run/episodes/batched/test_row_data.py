"""The data of the networks of a stack."""

from dataclasses import replace

import torch

from esper.data.batches import batches
from esper.run.episodes.batched.row_data import RowData
from esper.run.episodes.episode import run_of
from esper.run.task import epoch_seed
from tests.unit.run.episodes.small_tasks import small_task


def test_a_row_trains_on_the_batches_of_its_run() -> None:
    runs = [run_of(replace(small_task(n), samples=size), 3) for n, size in ((0, 140), (1, 400))]
    found = RowData(runs).batches(epoch=2)
    for row, run in enumerate(runs):
        generator = torch.Generator().manual_seed(epoch_seed(3, 2))
        for step, (x, y) in enumerate(batches(run.data.train, 32, generator, 6)):
            size = len(y)
            assert int(found.sizes[row, step]) == size
            assert torch.equal(found.x[row, step, :size], x)
            assert torch.equal(found.y[row, step, :size], y)
            assert torch.all(found.share[row, step, :size] == 1 / size)
            assert torch.all(found.share[row, step, size:] == 0)
    # 140 samples make 4 batches and one of 12, before the next pass begins.
    assert found.sizes[0].tolist() == [32, 32, 32, 32, 12, 32]
