"""Give each seed the credit that it has earned, and not the host's own progress.

`twin`: at germination the network as it was is copied, and trains along without the new seeds.
The gain of an event is the twin's loss minus the network's, relative to the twin's, over the last
evaluations; its standard error comes from the paired per-sample differences.  Everything else that
happens to the network meanwhile happens to the twin as well, so that the event alone is judged.

`ablation`: the same with the network itself, the seed muted, in the twin's place.
"""

import math
from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from esper.attribution.evaluation import Evaluate, Evaluation, evaluate_model, evaluate_muted
from esper.contracts.event import SeedPerformance
from esper.contracts.outcome import GainPoint
from esper.contracts.stage import LIVE, SeedStage
from esper.growth.host import Host
from esper.growth.slot import Seed

_S = SeedStage
MEASURED = frozenset({_S.SHADOWING, _S.PROBATIONARY})
"""Stages in which a seed's contribution is measured each epoch."""
LEAST_LOSS = 1e-8
"""A loss nearer to 0 than this counts as this: float32 does not tell them apart."""


@dataclass(slots=True)
class Comparison:
    """The last few evaluations of a network against a reference, on the same N samples."""

    window: int
    differences: deque[Tensor] = field(init=False)
    references: deque[float] = field(init=False)
    hits: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        self.differences = deque(maxlen=self.window)
        self.references = deque(maxlen=self.window)
        self.hits = deque(maxlen=self.window)

    def add(self, reference: Evaluation, network: Evaluation) -> float | None:
        """Take in one evaluation of both; return its gain alone.

        A sample on which the network broke (its loss is not finite) counts as lost: as worse by
        the reference's whole mean loss.  Where the reference broke, nothing can be said: None.

        Raises:
            ValueError: if they, or the evaluations before, were not of as many samples.
        """
        lengths = {len(each) for each in (*self.differences, reference.losses_N, network.losses_N)}
        if len(lengths) > 1:
            raise ValueError(
                "evaluate must score the same samples each time, "
                f"got losses of {' and '.join(map(str, sorted(lengths)))} samples"
            )
        scale = _scale(reference.loss)
        if not math.isfinite(scale):
            return None
        difference_N = reference.losses_N - network.losses_N
        difference_N = torch.where(difference_N.isfinite(), difference_N, -scale)
        self.differences.append(difference_N)
        self.references.append(reference.loss)
        if reference.accuracy is not None and network.accuracy is not None:
            self.hits.append(network.accuracy - reference.accuracy)
        return float(difference_N.mean()) / scale

    @property
    def gain(self) -> float | None:
        """Mean relative gain over the window; None before anything was compared."""
        if not self.differences:
            return None
        gains = [
            float(d_N.mean()) / _scale(reference)
            for d_N, reference in zip(self.differences, self.references, strict=True)
        ]
        return sum(gains) / len(gains)

    @property
    def error(self) -> float | None:
        """Standard error of the gain over the samples, relative to the mean reference loss."""
        if not self.differences:
            return None
        mean_N = torch.stack(list(self.differences)).mean(dim=0)
        reference = sum(self.references) / len(self.references)
        return float(mean_N.std()) / math.sqrt(len(mean_N)) / _scale(reference)

    @property
    def accuracy_gain(self) -> float | None:
        """Mean difference in accuracy, None when hits are not known."""
        return sum(self.hits) / len(self.hits) if self.hits else None


def _scale(loss: float) -> float:
    """Return what a difference in loss is relative to; some losses are 0 or negative."""
    return max(abs(loss), LEAST_LOSS)


@dataclass(slots=True)
class Trial:
    """A growth event whose seeds are still open.

    seeds: the activation of every seed of the event, by (slot, seed).
    twin: the network that never got these seeds; None when attribution is by ablation.
    ablations: a comparison with the network itself, by (slot, seed).
    ops_seen: how much of the network's journal the twin already knew when it was copied.
    """

    index: int
    epoch: int
    seeds: dict[tuple[str, int], int]
    twin: Host | None
    comparison: Comparison
    ablations: dict[tuple[str, int], Comparison] = field(default_factory=dict)
    ops_seen: int = 0

    def open_seeds(self, host: Host) -> list[Seed]:
        """Return the seeds of this event that are still live."""
        found = [host.seed(slot, index) for slot, index in self.seeds]
        return [s for s in found if s.stage in LIVE and s.activation.event == self.index]


def measure(
    trial: Trial, host: Host, evaluate: Evaluate, network: Evaluation
) -> list[SeedPerformance]:
    """Compare a network with what it would be without an event; credit the event's open seeds.

    Args:
        trial: the event; its twin has trained the epoch too.
        host: the network.
        evaluate: scores a model on the decision-validation split.
        network: what the network scored this epoch.
    """
    seeds = trial.open_seeds(host)
    event_gain = None
    if trial.twin is not None:
        event_gain = trial.comparison.add(evaluate_model(evaluate, trial.twin.model), network)
    measured = [seed for seed in seeds if seed.stage in MEASURED]
    for seed in measured:
        _ablate(trial, host, evaluate, network, seed)
    shares = _shares(seeds)
    for seed in seeds:
        _credit(trial, seed, shares[seed.slot, seed.index], event_gain)
    method = "ablation" if trial.twin is None else "twin"
    return [
        SeedPerformance(
            slot=seed.slot,
            seed=seed.index,
            blueprint=seed.bound,
            alpha=seed.alpha,
            ablation=seed.activation.ablation,
            gain=seed.activation.gain,
            gain_error=seed.activation.gain_error,
            method=method,
        )
        for seed in measured
    ]


def _ablate(trial: Trial, host: Host, evaluate: Evaluate, network: Evaluation, seed: Seed) -> None:
    key = (seed.slot, seed.index)
    without = evaluate_muted(evaluate, host, *key)
    comparison = trial.ablations.setdefault(key, Comparison(trial.comparison.window))
    if comparison.add(without, network) is not None:
        seed.activation.measurements += 1
    seed.activation.ablation = comparison.gain


def _shares(seeds: list[Seed]) -> dict[tuple[str, int], float]:
    """Share an event among its open seeds in proportion to their positive ablations.

    Where none is positive, or none is measured yet, each has the same share.
    """
    weights = {(s.slot, s.index): max(0.0, s.activation.ablation or 0.0) for s in seeds}
    total = sum(weights.values())
    if total <= 0:
        return dict.fromkeys(weights, 1 / max(1, len(weights)))
    return {key: weight / total for key, weight in weights.items()}


def _credit(trial: Trial, seed: Seed, share: float, event_gain: float | None) -> None:
    """Write the gain, its error and the latest point into the life of a seed."""
    activation = seed.activation
    comparison = trial.comparison
    if trial.twin is None:
        found = trial.ablations.get((seed.slot, seed.index))
        if found is None or seed.stage not in MEASURED:
            return
        comparison, share, event_gain = found, 1.0, activation.ablation
    if comparison.gain is None or comparison.error is None or event_gain is None:
        return
    activation.gain = share * comparison.gain
    activation.gain_error = share * comparison.error
    activation.accuracy_gain = comparison.accuracy_gain
    since = len(activation.losses) + 1
    activation.gains.append(GainPoint(epochs_since=since, gain=share * event_gain))
