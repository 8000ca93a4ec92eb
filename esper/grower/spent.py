"""What a run has cost so far."""

from dataclasses import dataclass


@dataclass
class Spent:
    """What a run has cost so far, and how much data an epoch has.

    flops: FLOPs of training and attribution.
    num_epochs, num_trained: finished epochs, and the training samples of all of them.
    num_samples: training samples of the last epoch.
    num_evaluated: samples of an evaluation.
    """

    flops: float = 0.0
    num_epochs: int = 0
    num_trained: int = 0
    num_samples: int = 0
    num_evaluated: int = 0
