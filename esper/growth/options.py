"""Options of growth: stage lengths, blending and credit."""

from dataclasses import dataclass

RAMPS = ("linear", "cosine", "sigmoid")
ON_CULL = ("remove", "twin")
ATTRIBUTIONS = ("twin", "ablation")


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"growth.{key} must be one of {', '.join(allowed)}, got {value!r}")


def _at_least(key: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):
        raise ValueError(f"growth.{key} must be >= {least} and finite, got {value}")


@dataclass(frozen=True)
class Growth:
    """How seeds live.  Epoch counts are whole epochs of the host's training.

    isolation_lr_factor: learning rate of an isolated kernel relative to the host's.
    lr_factor, warmup_epochs: a blended kernel's learning rate relative to the host's, and how long
        it takes to rise from the isolated one to that.
    training_epochs, blending_epochs, shadowing_epochs: stage lengths.
    divergence_factor: blending fails when the validation loss exceeds this multiple of what it was.
    attribution: who a gain is measured against: a `twin` that never got the seed, or the network
        itself with the seed muted (`ablation`).
    twin_epochs: epochs that a twin trains along before the verdict; it goes on while the verdict
        is put off.
    window: number of last evaluations whose mean is the gain.
    on_cull: `remove` takes the kernel away and nothing else; `twin` goes on from the twin.
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
        _one_of("ramp", self.ramp, RAMPS)
        _one_of("on_cull", self.on_cull, ON_CULL)
        _one_of("attribution", self.attribution, ATTRIBUTIONS)
        for key in ("isolation_lr_factor", "lr_factor", "warmup_epochs"):
            _at_least(key, getattr(self, key), 0.0)
        for key in ("training_epochs", "blending_epochs", "shadowing_epochs", "window"):
            _at_least(key, getattr(self, key), 1)
        _at_least("divergence_factor", self.divergence_factor, 1.0)
        settled = self.training_epochs + self.blending_epochs + self.shadowing_epochs + 1
        if self.twin_epochs != settled:
            raise ValueError(
                f"growth.twin_epochs must be {settled}, the epochs from germination to the verdict "
                f"(training + blending + shadowing + 1), got {self.twin_epochs}"
            )
        if self.on_cull == "twin" and self.attribution != "twin":
            raise ValueError("growth.on_cull=twin needs growth.attribution=twin, got ablation")
