"""A host that signals its own process at a forward pass chosen by an environment variable."""

import os
import signal
from itertools import count

from torch import Tensor, nn

from esper.contracts.data import DataSpec

WHEN, WHAT = "ESPER_TEST_SIGNAL_AT", "ESPER_TEST_SIGNAL"


class Net(nn.Module):
    """A small multi-layer perceptron that counts its forward passes in training."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 6), nn.GELU(), nn.Linear(6, 6))
        self.head = nn.Linear(6, classes)
        self._passes = count(1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and str(next(self._passes)) == os.environ.get(WHEN):
            os.kill(os.getpid(), getattr(signal, os.environ.get(WHAT, "SIGTERM")))
        logits: Tensor = self.head(self.body(x.flatten(1)))
        return logits


def make_host(spec: DataSpec) -> Net:
    """Return the host that `model.factory` names."""
    return Net(spec.input_shape[0], spec.num_classes)
