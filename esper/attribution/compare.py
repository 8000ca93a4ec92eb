"""Measure how much each seed lowers the loss, apart from the host's own progress.

    gain = (loss of the reference - loss of the network) / loss of the reference

All networks have averaged weights.  The reference of `muting` and `ablation` is the network itself
with the seed muted, over the patterns of the other seeds on trial; the gain is the mean over the
looks so far.  That of `twin` is a copy from before the germination, which trains along without the
event's seeds and repeats all other operations; the gain is the mean of two epochs, and the event's
seeds share it.
"""

import math
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from esper.attribution.evaluation import Evaluation
from esper.attribution.modes import Modes
from esper.attribution.options import Attribution
from esper.contracts.event import SeedPerformance
from esper.contracts.outcome import GainPoint
from esper.contracts.slot import Look
from esper.contracts.stage import LIVE, ON_TRIAL
from esper.growth.host import Host
from esper.growth.slot import Activation, Seed

MOST_SAMPLES = 400
"""Samples that a standard error counts: with more it would be smaller than the training noise."""
LEAST_LOSS = 1e-8
"""Smallest size of a loss that differences are divided by."""

_T = TypeVar("_T")


@dataclass
class Comparison:
    """Evaluations of a network against a reference, on the same N samples each time.

    window: number of evaluations that count, the last ones; None for all.
    differences: per-sample losses of the reference minus those of the network, relative to the
        reference's mean loss, each (N,).  So evaluations of different epochs count alike.
    hits: differences in accuracy, of evaluations with hits.
    since: epoch from which the compared seed's age counts, the latest of several seeds.
    """

    window: int | None = None
    differences: tuple[Tensor, ...] = ()
    hits: tuple[float, ...] = ()
    since: int | None = None

    def of(self, since: int) -> "Comparison":
        """Return this comparison, or an empty one if its seeds have blended again since."""
        return self if self.since == since else Comparison(self.window, since=since)

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
        difference_N = (reference.losses_N - network.losses_N) / scale
        difference_N = torch.where(difference_N.isfinite(), difference_N, -1.0)
        self.differences = self._latest((*self.differences, difference_N))
        if reference.accuracy is not None and network.accuracy is not None:
            self.hits = self._latest((*self.hits, network.accuracy - reference.accuracy))
        return float(difference_N.mean())

    def _latest(self, values: tuple[_T, ...]) -> tuple[_T, ...]:
        return values if self.window is None else values[-self.window :]

    @property
    def gain(self) -> float | None:
        """Mean relative gain; None without any evaluation."""
        return float(torch.stack(self.differences).mean()) if self.differences else None

    @property
    def error(self) -> float | None:
        """Standard error of the gain over the samples; it is that of at most `MOST_SAMPLES`."""
        if not self.differences:
            return None
        mean_N = torch.stack(self.differences).mean(dim=0)
        return float(mean_N.std()) / math.sqrt(min(len(mean_N), MOST_SAMPLES))

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
    twin: the network without these seeds; None if the reference is the network itself.
    comparison: with the twin.
    ablations: the last comparison with the network in which one seed is muted, by (slot, seed).
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

    def shares(self, host: Host) -> dict[tuple[str, int], float]:
        """Share the event among its seeds in proportion to their positive contributions.

        A fossilized seed keeps the share of its last measurement, so that its siblings do not
        inherit it; a culled one brings nothing any more.  Shares are equal if no contribution is
        positive or measured yet.
        """
        here = [key for key, number in self.seeds.items() if self._is_here(host, key, number)]
        gains = {key: self.ablations[key].gain if key in self.ablations else None for key in here}
        weights = {key: max(0.0, gain or 0.0) for key, gain in gains.items()}
        total = sum(weights.values())
        if total <= 0:
            return dict.fromkeys(weights, 1 / max(1, len(weights)))
        return {key: weight / total for key, weight in weights.items()}

    def _is_here(self, host: Host, key: tuple[str, int], number: int) -> bool:
        seed = host.seed(*key)
        return seed.current is not None and seed.activations == number


def look_at(
    trial: Trial, host: Host, modes: Modes, options: Attribution, epochs: int, epoch: int
) -> list[SeedPerformance]:
    """Measure an event at an age that asks for it; return the measurements of its open seeds.

    Args:
        trial: the event; its twin has trained the epoch too.
        host: the network.
        modes: the evaluations of this epoch.
        options: the method and its looks.
        epochs: budget of the run.
        epoch: number of finished epochs.
    """
    seeds = [seed for seed in trial.open_seeds(host) if seed.stage in ON_TRIAL]
    lives = {seed.index: seed.activation for seed in seeds}
    looks = {
        index: options.due(epoch - life.aged_from, epoch, epochs, again=life.blends_again)
        for index, life in lives.items()
    }
    if trial.twin is not None and any(
        options.is_measured(epoch - life.aged_from, epoch, epochs, again=life.blends_again)
        for life in lives.values()
    ):
        trial.comparison = trial.comparison.of(max(life.aged_from for life in lives.values()))
        trial.comparison.add(modes.of_twin(trial.twin), modes.whole())
    for seed in seeds:
        look = looks[seed.index]
        if look is not None:
            _compare_modes(trial, seed, modes)
    shares = trial.shares(host)
    measured = []
    for seed in seeds:
        look = looks[seed.index]
        if look is not None:
            _credit(trial, seed, look, shares[seed.slot, seed.index], options)
            _note_accuracy(seed.activation, modes.whole())
            measured.append(_performance(seed, look, options.method))
    return measured


def _compare_modes(trial: Trial, seed: Seed, modes: Modes) -> None:
    """Compare the network without and with a seed, as the mean over the patterns of the others.

    The comparison is pooled with those of the seed's earlier looks, because the noise of training
    is another each time.
    """
    key = seed.slot, seed.index
    comparison = trial.ablations.get(key, Comparison()).of(seed.activation.aged_from)
    gains = [comparison.add(without, network) for without, network in modes.pairs(key)]
    known = [gain for gain in gains if gain is not None]
    trial.ablations[key] = comparison
    seed.activation.ablation = sum(known) / len(known) if known else None


def _credit(trial: Trial, seed: Seed, look: Look, share: float, options: Attribution) -> None:
    """Write the gain, its error and the look into a seed's record."""
    activation, comparison = seed.activation, trial.comparison
    own = comparison.gain
    if trial.twin is None:
        comparison, share = trial.ablations[seed.slot, seed.index], 1.0
        own = activation.ablation
    activation.gain = _part(share, comparison.gain)
    activation.gain_error = _part(share, comparison.error)
    activation.accuracy_gain = _part(share, comparison.accuracy_gain)
    error, again = activation.gain_error, activation.blends_again
    activation.look = options.with_bars(look, error, again=again)
    if own is not None:
        window = "short" if activation.gains else "immediate"
        point = GainPoint(epochs_since=look.age, gain=share * own, window=window)
        activation.gains.append(point)


def _part(share: float, value: float | None) -> float | None:
    return None if value is None else share * value


def _note_accuracy(activation: Activation, whole: Evaluation) -> None:
    """Record the change in accuracy since germination, and its standard error.

    Both accuracies are means over the same samples; their errors are added as if they were
    independent, which is never too small.
    """
    before, now = activation.start_accuracy, whole.accuracy
    if before is not None and now is not None:
        activation.improvement = now - before
        variance = before * (1 - before) + now * (1 - now)
        activation.improvement_error = math.sqrt(max(0.0, variance) / len(whole.losses_N))


def _performance(seed: Seed, look: Look, method: str) -> SeedPerformance:
    return SeedPerformance(
        slot=seed.slot,
        seed=seed.index,
        blueprint=seed.bound,
        alpha=seed.alpha,
        age=look.age,
        ablation=seed.activation.ablation,
        gain=seed.activation.gain,
        gain_error=seed.activation.gain_error,
        method=method,
    )
