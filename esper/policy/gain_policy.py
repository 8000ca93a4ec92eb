"""The base of policies that weigh germinations by a gain model, learned from earlier runs.

    net gain = predicted gain - price * log2(1 + added FLOPs / present FLOPs)

    cautious = net gain - caution * standard deviation of the prediction

Both gains are log losses at the end of the run.  What was predicted also takes part in the verdict
on a kernel, and settled trials correct what is predicted next.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esper.contracts.checks import require
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.learning.gain_model import GainModel
from esper.policy.base import Policy, wait
from esper.policy.gain_files import read_gain_model, shipped_gain_model
from esper.policy.rules.adaptation import risk_of
from esper.policy.rules.corrections import Corrections
from esper.policy.rules.growth import GrowthLimits, combine, growable_slots, obstacle
from esper.policy.rules.posterior import Prediction, judge_prediction, log_gain
from esper.policy.rules.verdict import VerdictRules, flops_price, judge_seed
from esper.signals.gain_features import Offer, offers_of

AT_ONCE = 2
"""Most slots that grow after one epoch."""


@dataclass(frozen=True, kw_only=True)
class GainRules(VerdictRules, GrowthLimits):
    """How a policy weighs germinations; the fields are keys of `policy`.

    threshold: cautious net gain, in log loss, above which it grows.
    caution: standard deviations of a prediction that a cautious net gain is less, >= 0.
    seeds_per_adaptation: most kernels that a request germinates, >= 1: beside the one that is asked
        for, the next best of the slot whose cautious net gains are above the threshold too.
    path: the files of the gain model, without their endings; None for the one shipped with Esper.
    """

    price: float = 0.05
    max_live_seeds_per_slot: int = 1
    threshold: float = 0.02
    caution: float = 2.0
    seeds_per_adaptation: int = 2
    path: str | None = None

    def __post_init__(self) -> None:
        finite = math.isfinite(self.threshold)
        require(finite, "policy.threshold", "a finite number", self.threshold)
        require(0 <= self.caution < math.inf, "policy.caution", "finite and >= 0", self.caution)
        seeds = self.seeds_per_adaptation
        require(seeds >= 1, "policy.seeds_per_adaptation", ">= 1", seeds)
        super().__post_init__()

    def gain_model(self) -> GainModel:
        """Return the gain model.

        Raises:
            ConfigError: if its files cannot be read.
        """
        if self.path is None:
            return shipped_gain_model()
        return read_gain_model(Path(self.path).expanduser())


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the model predicts of an offer.

    gain, deviation: log loss that the kernel saves, and the standard deviation of its prediction.
    net: the gain less the price of its FLOPs.
    cautious: the net gain less `caution` deviations.
    row: the features as the model reads them, see `GainModel.standardised`.
    """

    offer: Offer
    gain: float
    deviation: float
    net: float
    cautious: float
    row: NDArray[np.float64] = field(repr=False, compare=False)


class GainPolicy(Policy):
    """A policy that asks for germinations by what a gain model predicts of them."""

    reads_health: ClassVar[bool] = True
    reads_scores: ClassVar[bool] = False

    def __init__(self, options: GainRules, model: GainModel) -> None:
        self.options, self.model = options, model
        self._predicted: dict[str, dict[str, Prediction]] = {}
        self._corrections = Corrections(model.expected_error)

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then requests to grow or the reason to wait."""
        decisions = self._verdicts(observation)
        reason = obstacle(observation, self.options)
        if reason is not None:
            return combine(decisions, wait(reason))
        slots, closed = growable_slots(observation, self.options, decisions)
        forecasts = self.forecasts(offers_of(observation, slots))
        if not forecasts:
            return combine(decisions, wait(f"no slot has a measured offer: {closed}"))
        left = observation.events_left
        most = AT_ONCE if left is None else min(AT_ONCE, left)
        requests = self.requests(observation, forecasts, most)
        if requests[0].kind is DecisionKind.WAIT:
            return combine(decisions, requests[0])
        return [*decisions, *requests]

    @abstractmethod
    def requests(
        self, observation: Observation, forecasts: Sequence[Forecast], most: int
    ) -> list[Decision]:
        """Return up to `most` requests to grow, each in another slot, or one to wait.

        Args:
            observation: the current state of the run.
            forecasts: of all offers in slots that can grow, at least one.
            most: requests, >= 1.
        """

    def _verdicts(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due; seeds without a prediction get the usual one."""
        verdicts = []
        for seed in observation.live_seeds:
            predicted = self._predicted.get(seed.slot, {}).get(seed.bound)
            verdicts.append(
                judge_seed(seed, self.options)
                if predicted is None
                else judge_prediction(seed, predicted, self.options)
            )
        return [each for each in verdicts if each is not None]

    def _prediction(self, forecast: Forecast) -> Prediction:
        correction = self._corrections.of(forecast.offer.slot, forecast.offer.birth.blueprint)
        error = math.hypot(forecast.deviation, self.model.expected_error)
        return Prediction(forecast.gain, error, correction)

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Correct the predictions of the run, the slot and the kernel by a settled trial."""
        predicted = self._predicted.get(outcome.slot, {}).get(outcome.blueprint)
        if predicted is None or outcome.gain is None or outcome.rolled_back:
            return {}
        of_model = predicted.gain - predicted.correction
        measured = log_gain(outcome.gain, outcome.shown)
        self._corrections.add(outcome.slot, outcome.blueprint, measured - of_model)
        value = self._corrections.of(outcome.slot, outcome.blueprint)
        return {f"policy/{self.name}/correction/{outcome.slot}/{outcome.blueprint}": value}

    def state_dict(self) -> dict[str, Any]:
        """Return the predictions by slot and blueprint, what trials have taught, and the model."""
        return {
            "model": self.model.digest,
            "predicted": {
                slot: {name: asdict(each) for name, each in own.items()}
                for slot, own in self._predicted.items()
            },
            "residuals": {
                slot: {name: list(each) for name, each in own.items()}
                for slot, own in self._corrections.residuals.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ConfigError: if it is the state of a policy with another model.
        """
        if state["model"] != self.model.digest:
            where = "the model shipped with Esper" if self.options.path is None else "its files"
            raise ConfigError(
                f"policy.path: the gain model is another one than when the run began ({where} "
                "changed); start a new run"
            )
        self._predicted = {
            slot: {name: Prediction(**each) for name, each in own.items()}
            for slot, own in state["predicted"].items()
        }
        self._corrections.residuals = {
            slot: {name: list(each) for name, each in own.items()}
            for slot, own in state["residuals"].items()
        }

    def every_forecast(self, observation: Observation) -> list[Forecast]:
        """Return the forecast of all offers in measured slots, the largest net gain first."""
        every = self.forecasts(offers_of(observation, observation.slots))
        return sorted(every, key=lambda each: -each.net)

    def forecasts(self, offers: Sequence[Offer]) -> list[Forecast]:
        """Return what the model predicts of offers, in their order."""
        if not offers:
            return []
        rows_NF = self.model.standardised([offer.features for offer in offers])
        gains_N, deviations_N = self.model.predict_rows(rows_NF)
        predicted = zip(offers, gains_N.tolist(), deviations_N.tolist(), rows_NF, strict=True)
        every = []
        for offer, gain, deviation, row in predicted:
            corrected = gain + self._corrections.of(offer.slot, offer.birth.blueprint)
            net = corrected - flops_price(self.options.price, 1.0, offer.birth.added_flops)
            cautious = net - self.options.caution * deviation
            every.append(Forecast(offer, corrected, deviation, net, cautious, row))
        return every

    def request(
        self,
        observation: Observation,
        chosen: Sequence[Forecast],
        reason: str,
        uncertainty: float,
    ) -> Decision:
        """Return the request of offers in one slot, and remember what is predicted of them.

        The first of them is the one that is asked for, see `with_companions`.
        """
        forecast, slot = chosen[0], observation.slot(chosen[0].offer.slot)
        names = [each.offer.birth.blueprint for each in chosen]
        predicted = self._predicted.setdefault(slot.spec.name, {})
        predicted |= {n: self._prediction(each) for n, each in zip(names, chosen, strict=True)}
        risks = [seed.risk for seed in slot.seeds if seed.bound in names]
        others = [f"{n} (net {e.net:+.3g})" for n, e in zip(names, chosen, strict=True)][1:]
        beside = f", beside {' and '.join(others)}" if others else ""
        return Decision(
            kind=DecisionKind.ADAPT,
            slot=slot.spec.name,
            adaptation=Adaptation.ADD_NEURONS,
            num_seeds=len(names),
            reason=f"{reason}{beside}",
            confidence=NormalDist().cdf(forecast.net / predicted[names[0]].error),
            risk=risk_of(observation, *risks),
            uncertainty=uncertainty,
            learned=True,
            barred=tuple(each for each in slot.spec.catalogue if each not in names),
        )

    def with_companions(self, forecast: Forecast, forecasts: Sequence[Forecast]) -> list[Forecast]:
        """Return a forecast and the next best of its slot that are worth a trial beside it."""
        slot, threshold = forecast.offer.slot, self.options.threshold
        others = [
            each
            for each in forecasts
            if each.offer.slot == slot and each is not forecast and each.cautious > threshold
        ]
        best = sorted(others, key=lambda each: -each.cautious)
        return [forecast, *best[: self.options.seeds_per_adaptation - 1]]

    def words(self, forecast: Forecast) -> str:
        """Return what is predicted of an offer, and the three features that say most."""
        parts = self.model.reasons(forecast.offer.features)
        why = ", ".join(f"{name} {part:+.3g}" for name, part in parts)
        return (
            f"{forecast.offer.birth.blueprint} in '{forecast.offer.slot}' promises a gain of "
            f"{forecast.gain:+.3g} +- {forecast.deviation:.2g} by {why}; net {forecast.net:+.3g}, "
            f"cautiously {forecast.cautious:+.3g}"
        )
