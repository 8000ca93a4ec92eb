"""Measure how much each seed lowers the loss, apart from the host's own progress.

`twin`: a copy of the network from before the germination trains along without the new seeds.  The
gain of an event is the twin's loss minus the network's, relative to the twin's, over the last
evaluations; its standard error comes from the paired per-sample differences.  All other operations
on the network are repeated on the twin, so that only the event makes a difference.

`ablation`: the reference is the network itself with the seed muted.
"""

import math
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
"""Smallest size of a loss that differences are divided by."""


@dataclass
class Comparison:
    """The last `window` evaluations of a network against a reference, on the same N samples.

    differences: per-sample losses of the reference minus those of the network, each (N,).
    references: mean losses of the reference.
    hits: differences in accuracy, of evaluations with hits.
    """

    window: int
    differences: tuple[Tensor, ...] = ()
    references: tuple[float, ...] = ()
    hits: tuple[float, ...] = ()

    def add(self, reference: Evaluation, network: Evaluation) -> float | None:
        """Add one evaluation of both; return its own gain.

        A sample whose loss is not finite in the network counts as worse by the reference's mean
        loss.  If the reference's mean loss is not finite, the evaluation is ignored: None.

        Raises:
            ValueError: if the evaluations, earlier ones included, differ in their samples' number.
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
        self.differences = (*self.differences, difference_N)[-self.window :]
        self.references = (*self.references, reference.loss)[-self.window :]
        if reference.accuracy is not None and network.accuracy is not None:
            hits = network.accuracy - reference.accuracy
            self.hits = (*self.hits, hits)[-self.window :]
        return float(difference_N.mean()) / scale

    @property
    def gain(self) -> float | None:
        """Mean relative gain over the window; None without any evaluation."""
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
        mean_N = torch.stack(self.differences).mean(dim=0)
        reference = sum(self.references) / len(self.references)
        return float(mean_N.std()) / math.sqrt(len(mean_N)) / _scale(reference)

    @property
    def accuracy_gain(self) -> float | None:
        """Mean difference in accuracy; None without hits."""
        return sum(self.hits) / len(self.hits) if self.hits else None


def _scale(loss: float) -> float:
    """Return the size of a loss, as a divisor: a loss can be 0 or negative."""
    return max(abs(loss), LEAST_LOSS)


@dataclass(slots=True)
class Trial:
    """A growth event with open seeds.

    seeds: the number of each seed's activation in the event, by (slot, seed).
    twin: the network without these seeds; None if attribution is by ablation.
    ablations: comparisons with the network in which one seed is muted, by (slot, seed).
    ops_seen: number of operations in the network's log that the twin needs no more.
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
        seeds = [host.seed(*key) for key in self.seeds]
        return [s for s in seeds if s.stage in LIVE and s.activation.event == self.index]


def measure(
    trial: Trial, host: Host, evaluate: Evaluate, network: Evaluation
) -> list[SeedPerformance]:
    """Compare a network with itself without an event; credit the event's open seeds.

    Args:
        trial: the event; its twin has trained the epoch too.
        host: the network.
        evaluate: scores a model on the decision-validation split.
        network: evaluation of the network in this epoch.
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

    The shares are equal if no ablation is positive or measured yet.
    """
    weights = {(s.slot, s.index): max(0.0, s.activation.ablation or 0.0) for s in seeds}
    total = sum(weights.values())
    if total <= 0:
        return dict.fromkeys(weights, 1 / max(1, len(weights)))
    return {key: weight / total for key, weight in weights.items()}


def _credit(trial: Trial, seed: Seed, share: float, event_gain: float | None) -> None:
    """Write the gain, its error and the latest point into the record of a seed."""
    activation, comparison = seed.activation, trial.comparison
    if trial.twin is None:
        if seed.stage not in MEASURED:
            return
        comparison = trial.ablations[seed.slot, seed.index]
        share, event_gain = 1.0, activation.ablation
    if comparison.gain is None or comparison.error is None or event_gain is None:
        return
    activation.gain = share * comparison.gain
    activation.gain_error = share * comparison.error
    activation.accuracy_gain = comparison.accuracy_gain
    since = len(activation.losses) + 1
    activation.gains.append(GainPoint(epochs_since=since, gain=share * event_gain))
