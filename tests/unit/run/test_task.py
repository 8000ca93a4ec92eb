"""What an epoch of a task trains on."""

import pytest
import torch
from torch import Tensor, nn

from esper.data.spirals import Spirals
from esper.run.task import Task
from esper.training.options import Training


class Counting(nn.Linear):
    """Counts the samples that it sees."""

    seen = 0

    def forward(self, input: Tensor) -> Tensor:
        self.seen += len(input)
        return super().forward(input)


# 60 points: 36 to train on, 12 to decide by, 12 to test; batches of 16, 16 and 4.
@pytest.mark.parametrize(("steps", "samples"), [(None, 36), (2, 32), (3, 36), (4, 52), (7, 88)])
def test_the_samples_of_an_epoch_are_those_it_trains_on(steps: int | None, samples: int) -> None:
    data = Spirals(num_samples=60).load()
    task = Task(data, 16, Training(steps_per_epoch=steps), epochs=1, rng_seed=0)
    model = Counting(2, 3)
    task.train(model, torch.optim.SGD(model.parameters(), lr=0.1), epoch=1)
    assert task.num_samples == model.seen == samples
