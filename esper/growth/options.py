"""Options of growth: stage lengths and blending; averages and the read-out of a network."""

import math
from dataclasses import dataclass

from esper.contracts.checks import require, require_one_of, require_types

RAMPS = ("linear", "cosine", "sigmoid")
ON_CULL = ("remove", "twin")
READ_OUTS = ("best_average", "last")
AUTO, NEVER = "auto", "never"
WIDENS = (AUTO, NEVER)
BIRTHS = {"shrink_perturb": 0.5, "preserving": 1.0, "restart": 0.0}
"""Share of what a host has learned that it keeps when it becomes wider; see `growth.widen`."""

_LEAST = {
    "isolation_lr_factor": 0.0,
    "lr_factor": 0.0,
    "warmup_epochs": 0.0,
    "training_epochs": 1,
    "blending_epochs": 1,
    "shadowing_epochs": 1,
    "divergence_factor": 1.0,
}
"""The least value of each number of `Growth`."""


@dataclass(frozen=True)
class Growth:
    """Stage lengths and blending.  Epochs are whole epochs of the host's training.

    isolation_lr_factor: learning rate of an isolated kernel relative to the host's.
    lr_factor: learning rate of a blended kernel relative to the host's, times its alpha target.
    warmup_epochs: epochs in which the rate rises from the isolated to the blended one.
    training_epochs, blending_epochs, shadowing_epochs: stage lengths.
    divergence_factor: blending fails when the validation loss exceeds this multiple of its value
        at the start of blending.
    widen: `auto` doubles the width of the whole host when it has used its size, `never` does not;
        None for `auto` in a run without a number of epochs, and `never` in any other.
    birth: of a wider host: `shrink_perturb` learns faster, `preserving` computes what the narrower
        one did, `restart` has learned nothing, which shows what is inherited.
    on_cull: `remove` only removes the kernel; `twin` continues from the twin, with
        `attribution.method=twin`.
    """

    ramp: str = "linear"
    on_cull: str = "remove"
    widen: str | None = None
    birth: str = "shrink_perturb"
    isolation_lr_factor: float = 0.1
    lr_factor: float = 1.0
    warmup_epochs: float = 0.5
    training_epochs: int = 1
    blending_epochs: int = 1
    shadowing_epochs: int = 2
    divergence_factor: float = 2.0

    def __post_init__(self) -> None:
        require_types(self, "growth")
        require_one_of("growth.ramp", self.ramp, RAMPS)
        require_one_of("growth.on_cull", self.on_cull, ON_CULL)
        if self.widen is not None:
            require_one_of("growth.widen", self.widen, WIDENS)
        require_one_of("growth.birth", self.birth, tuple(BIRTHS))
        for key, bound in _LEAST.items():
            value = getattr(self, key)
            require(bound <= value < math.inf, f"growth.{key}", f">= {bound} and finite", value)

    @property
    def shrink(self) -> float:
        """Share of what a host has learned that it keeps when it becomes wider."""
        return BIRTHS[self.birth]

    @property
    def epochs_to_trial(self) -> int:
        """Epochs from germination to the end of blending."""
        return self.training_epochs + self.blending_epochs


@dataclass(frozen=True)
class ReadOut:
    """Which network a run ends with, grown or not; its keys are those of `run`.

    read_out: `best_average`, the averaged weights with the lowest validation loss, with trials
        that were open at that time muted; `last`, the weights after the last step.
    average: length of the average in epochs; 0 for the weights of single steps.
    """

    read_out: str = "best_average"
    average: float = 1.0

    def __post_init__(self) -> None:
        require_types(self, "run")
        require_one_of("run.read_out", self.read_out, READ_OUTS)
        valid = 0 <= self.average < math.inf
        require(valid, "run.average", ">= 0 and finite", self.average)
