"""The result of an activation, and its reward."""

from dataclasses import dataclass, field

WINDOWS = ("immediate", "short", "medium", "long")
"""Times at which a gain is measured, in order: the first look at a trial, its later looks, up to
`LONG_AFTER` epochs after keeping, and from then on."""
LONG_AFTER = 10
"""Epochs after keeping from which a gain is long-term."""


def kept_window(epochs_after_keeping: int) -> str:
    """Return the window of a measurement of a kept kernel."""
    return "long" if epochs_after_keeping >= LONG_AFTER else "medium"


@dataclass(frozen=True, slots=True, kw_only=True)
class GainPoint:
    """The gain credited to a seed at one evaluation.

    epochs_since: epochs since germination, >= 1.
    gain: relative to the loss of the network without the change; 0.1 is a tenth less loss.
    window: one of `WINDOWS`.
    """

    epochs_since: int
    gain: float
    window: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A settled activation of one seed.

    activation: number of the activation, from 1.
    gain, gain_error: the settled relative gain and its standard error; None when never measured.
    expected_gain: relative gain expected when the seed germinated; None when nothing was known.
    ablation: last relative contribution by ablation.
    gains: the gain at every look, oldest first; also at those after it was kept.
    accuracy_gain: validation accuracy over the reference (the twin; else ablation), a fraction.
    loss_reduction: gain in units of the validation loss.
    asked_gain: gain that verdicts ask of it at least: the least one, and the price of its FLOPs.
    shown: share of a lasting gain that `gain`, `gains` and `asked_gain` show, > 0.
    flops_before, flops_after: forward FLOPs a sample of the network without and with the seed.
    parameters_before, parameters_after: parameters of the network without and with the seed.
    loss_variance: variance of the validation loss since germination.
    errors, recoveries: number of kernel errors since germination, and of those recovered.
    latency_ms: measured time of the kernel's forward, recorded only; None when not measured.
    memory_mb: bytes of the kernel's parameters and optimizer state / 2**20.
    rolled_back: True when a rollback culled it while it was part of the network's output.
    features, reading: as of `LedgerEntry`.
    """

    slot: str
    seed: int
    slot_kind: str
    placement: str
    blueprint: str
    activation: int
    germinated_epoch: int
    settled_epoch: int
    fossilized: bool
    gain: float | None
    gain_error: float | None
    ablation: float | None
    expected_gain: float | None = None
    gains: tuple[GainPoint, ...] = ()
    accuracy_gain: float | None = None
    loss_reduction: float | None = None
    asked_gain: float = 0.0
    shown: float = 1.0
    flops_before: float = 0.0
    flops_after: float = 0.0
    parameters_before: int = 0
    parameters_after: int = 0
    loss_variance: float = 0.0
    errors: int = 0
    recoveries: int = 0
    latency_ms: float | None = None
    memory_mb: float = 0.0
    rolled_back: bool = False
    features: tuple[float | None, ...] = ()
    reading: str = ""
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        """True when the settled gain is above 0; unmeasured or rolled back is no success."""
        return self.gain is not None and self.gain > 0 and not self.rolled_back

    @property
    def added_flops(self) -> float:
        """FLOPs of the kernel, relative to those without it; 0 when these were not measured."""
        before = self.flops_before
        return max(0.0, self.flops_after - before) / before if before > 0 else 0.0

    @property
    def latest_gain(self) -> float | None:
        """The gain at the last look after it was kept; the settled gain before any."""
        later = [point.gain for point in self.gains if point.window in ("medium", "long")]
        return later[-1] if later else self.gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """How good an outcome was.

    total: in [-1, 1].
    components: each component's value before weighting.
    confidence: in [0, 1]; the ledger counts the reward as `weight` of a trial.
    """

    total: float
    components: dict[str, float] = field(default_factory=dict)
    confidence: float = 0.0
    explanation: str = ""

    @property
    def weight(self) -> float:
        """How much of a trial the reward counts as in the ledger: (1 + confidence) / 2.

        So a reward in full doubt is half a trial: a seed whose gain is within its error, or was
        never measured, was still tried.
        """
        return (1 + self.confidence) / 2
