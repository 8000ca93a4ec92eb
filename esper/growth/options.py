"""Options of growth: stage lengths, blending and credit."""

import math
from dataclasses import dataclass

from esper.contracts.checks import require, require_one_of

RAMPS = ("linear", "cosine", "sigmoid")
ON_CULL = ("remove", "twin")
ATTRIBUTIONS = ("twin", "ablation")

_LEAST = {
    "isolation_lr_factor": 0.0,
    "lr_factor": 0.0,
    "warmup_epochs": 0.0,
    "training_epochs": 1,
    "blending_epochs": 1,
    "shadowing_epochs": 1,
    "window": 1,
    "divergence_factor": 1.0,
}
"""The least value of each number of `Growth`."""


@dataclass(frozen=True)
class Growth:
    """Stage lengths, blending and credit.  Epochs are whole epochs of the host's training.

    isolation_lr_factor: learning rate of an isolated kernel relative to the host's.
    lr_factor: learning rate of a blended kernel relative to the host's.
    warmup_epochs: epochs in which the rate rises from the isolated to the blended one.
    training_epochs, blending_epochs, shadowing_epochs: stage lengths.
    divergence_factor: blending fails when the validation loss exceeds this multiple of its value
        at the start of blending.
    attribution: reference of a gain: a `twin` trained without the seed, or the network itself with
        the seed muted (`ablation`).
    twin_epochs: epochs that a twin trains until the verdict; more if the verdict is postponed.
    window: number of last evaluations whose mean is the gain.
    on_cull: `remove` only removes the kernel; `twin` continues from the twin.
    """

    ramp: str = "linear"
    on_cull: str = "remove"
    attribution: str = "twin"
    isolation_lr_factor: float = 0.1
    lr_factor: float = 1.0
    warmup_epochs: float = 0.5
    training_epochs: int = 1
    blending_epochs: int = 1
    shadowing_epochs: int = 3
    divergence_factor: float = 2.0
    twin_epochs: int = 6
    window: int = 3

    def __post_init__(self) -> None:
        require_one_of("growth.ramp", self.ramp, RAMPS)
        require_one_of("growth.on_cull", self.on_cull, ON_CULL)
        require_one_of("growth.attribution", self.attribution, ATTRIBUTIONS)
        for key, bound in _LEAST.items():
            value = getattr(self, key)
            require(bound <= value < math.inf, f"growth.{key}", f">= {bound} and finite", value)
        settled = self.training_epochs + self.blending_epochs + self.shadowing_epochs + 1
        if self.twin_epochs != settled:
            raise ValueError(
                f"growth.twin_epochs must be {settled}, the epochs from germination to the verdict "
                f"(training + blending + shadowing + 1), got {self.twin_epochs}"
            )
        if self.on_cull == "twin" and self.attribution != "twin":
            raise ValueError("growth.on_cull=twin needs growth.attribution=twin, got ablation")
