"""Grows where a gain model, learned from earlier runs, predicts the largest net gain.

    net gain = predicted gain - price * log2(1 + added FLOPs / present FLOPs)

    cautious = net gain - caution * standard deviation of the prediction

Both gains are log losses at the end of the run.  The policy acts where the cautious net gain is
largest and above a threshold, and waits otherwise: an event brings little where the members of the
model, which were fitted on different tasks, disagree.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.learning.gain_model import GainModel
from esper.policy.base import Policy, wait
from esper.policy.gain_features import FEATURES, Offer, offers_of, recorded
from esper.policy.rules.adaptation import risk_of
from esper.policy.rules.corrections import Corrections
from esper.policy.rules.growth import GrowthLimits, combine, growable_slots, obstacle
from esper.policy.rules.posterior import Prediction, judge_prediction, log_gain
from esper.policy.rules.verdict import VerdictRules, flops_price, judge_seed

AT_ONCE = 2
"""Most slots that grow after one epoch."""


# Fields of the last base come first, and so do the printed keys.
@dataclass(frozen=True, kw_only=True)
class Planner(VerdictRules, GrowthLimits):
    """Grows by the predictions of a gain model.

    threshold: cautious net gain, in log loss, above which it grows.
    caution: standard deviations of a prediction that a cautious net gain is less, >= 0.
    path: the files of the model, without their endings; None for the one shipped with Esper.
    """

    price: float = 0.05
    max_live_seeds_per_slot: int = 1
    threshold: float = 0.02
    caution: float = 2.0
    path: str | None = None

    def __post_init__(self) -> None:
        finite = math.isfinite(self.threshold)
        require(finite, "policy.threshold", "a finite number", self.threshold)
        require(0 <= self.caution < math.inf, "policy.caution", "finite and >= 0", self.caution)
        super().__post_init__()

    def build(self, rng_seed: int) -> "PlannerPolicy":
        """Return a new policy; it makes no random choices.

        Raises:
            ConfigError: if the files of the model cannot be read.
        """
        return PlannerPolicy(
            self, _shipped() if self.path is None else _model(Path(self.path).expanduser())
        )


@cache
def _shipped() -> GainModel:
    with as_file(files("esper.policy").joinpath("trained")) as folder:
        return _model(folder / "planner")


def _model(path: Path) -> GainModel:
    """Return the model in the files of a path; raise ConfigError if it cannot be used."""
    where = f"policy.path: the gain model {path}"
    hint = "train one: esper train-policy policy=planner"
    try:
        model = GainModel.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{where}.json or {path.name}.safetensors is missing ({hint})") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} cannot be read: {error} ({hint})") from error
    if unknown := sorted({*model.names} - {*FEATURES}):
        raise ConfigError(f"{where} reads features that are not measured: {unknown[0]} ({hint})")
    return model


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the model predicts of an offer.

    gain, deviation: log loss that the kernel saves, and the standard deviation of its prediction.
    net: the gain less the price of its FLOPs.
    cautious: the net gain less `caution` deviations.
    """

    offer: Offer
    gain: float
    deviation: float
    net: float
    cautious: float


class PlannerPolicy(Policy):
    """The policy of `Planner`."""

    name: ClassVar[str] = "planner"
    reads_health: ClassVar[bool] = True
    reads_scores: ClassVar[bool] = False

    def __init__(self, options: Planner, model: GainModel) -> None:
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
        most = AT_ONCE if observation.events_left is None else min(AT_ONCE, observation.events_left)
        chosen = [each for each in forecasts if each.cautious > self.options.threshold][:most]
        if not chosen:
            limit = f"no cautious net gain is above {self.options.threshold:g}"
            return combine(decisions, wait(f"{limit} ({self._words(forecasts[0])})"))
        for each in chosen:
            of_slot = self._predicted.setdefault(each.offer.slot, {})
            of_slot[each.offer.birth.blueprint] = self._prediction(each)
        return [*decisions, *(self._request(observation, each) for each in chosen)]

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
        correction = self._corrections.of(forecast.offer.slot)
        error = math.hypot(forecast.deviation, self.model.expected_error)
        return Prediction(forecast.gain, error, correction)

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Correct the predictions of the run and of the slot by a settled trial."""
        predicted = self._predicted.get(outcome.slot, {}).get(outcome.blueprint)
        if predicted is None or outcome.gain is None or outcome.rolled_back:
            return {}
        of_model = predicted.gain - predicted.correction
        measured = log_gain(outcome.gain, outcome.shown)
        self._corrections.add(outcome.slot, measured - of_model)
        value = self._corrections.of(outcome.slot)
        return {f"policy/planner/correction/{outcome.slot}": value}

    def state_dict(self) -> dict[str, Any]:
        """Return the predictions by slot and blueprint, what trials have taught, and the model."""
        return {
            "model": self.model.digest,
            "predicted": {
                slot: {name: asdict(each) for name, each in own.items()}
                for slot, own in self._predicted.items()
            },
            "residuals": {slot: list(own) for slot, own in self._corrections.residuals.items()},
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
        self._corrections.residuals = {s: list(own) for s, own in state["residuals"].items()}

    def forecasts(self, offers: Sequence[Offer]) -> list[Forecast]:
        """Return the forecast of each slot's best offer, the largest cautious net gain first."""
        best: dict[str, Forecast] = {}
        for each in sorted(self._every(offers), key=lambda each: -each.cautious):
            best.setdefault(each.offer.slot, each)
        return list(best.values())

    def every_forecast(self, observation: Observation) -> list[Forecast]:
        """Return the forecast of all offers in measured slots, the largest net gain first."""
        every = self._every(offers_of(observation, observation.slots))
        return sorted(every, key=lambda each: -each.net)

    def _every(self, offers: Sequence[Offer]) -> list[Forecast]:
        if not offers:
            return []
        gains_N, deviations_N = self.model.predict([offer.features for offer in offers])
        predicted = zip(offers, gains_N.tolist(), deviations_N.tolist(), strict=True)
        corrections = {offer.slot: self._corrections.of(offer.slot) for offer in offers}
        every = []
        for offer, gain, deviation in predicted:
            corrected = gain + corrections[offer.slot]
            net = corrected - flops_price(self.options.price, 1.0, offer.birth.added_flops)
            cautious = net - self.options.caution * deviation
            every.append(Forecast(offer, corrected, deviation, net, cautious))
        return every

    def _request(self, observation: Observation, forecast: Forecast) -> Decision:
        slot = observation.slot(forecast.offer.slot)
        name = forecast.offer.birth.blueprint
        error = self._prediction(forecast).error
        risks = [seed.risk for seed in slot.seeds if seed.bound == name]
        return Decision(
            kind=DecisionKind.ADAPT,
            slot=slot.spec.name,
            adaptation=Adaptation.ADD_NEURONS,
            num_seeds=1,
            reason=f"{self._words(forecast)}, above {self.options.threshold:g}",
            confidence=NormalDist().cdf(forecast.net / error),
            risk=risk_of(observation, *risks),
            uncertainty=self.model.uncertainty(forecast.gain, forecast.deviation),
            learned=True,
            barred=tuple(each for each in slot.spec.catalogue if each != name),
            features=recorded(forecast.offer.features),
        )

    def _words(self, forecast: Forecast) -> str:
        """Return what is predicted of an offer, and the three features that say most."""
        parts = self.model.reasons(forecast.offer.features)
        why = ", ".join(f"{name} {part:+.3g}" for name, part in parts)
        return (
            f"{forecast.offer.birth.blueprint} in '{forecast.offer.slot}' promises a gain of "
            f"{forecast.gain:+.3g} +- {forecast.deviation:.2g} by {why}; net {forecast.net:+.3g}, "
            f"cautiously {forecast.cautious:+.3g}"
        )
