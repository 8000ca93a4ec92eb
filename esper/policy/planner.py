"""Grows where a gain model predicts the largest net gain, with caution.

The policy acts where the cautious net gain, see `gain_policy`, is largest and above a threshold,
and waits otherwise: an event brings little where the members of the model, which were fitted on
different tasks, disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.policy.base import wait
from esper.policy.gain_policy import Forecast, GainPolicy, GainRules


@dataclass(frozen=True, kw_only=True)
class Planner(GainRules):
    """Grows by the predictions of a gain model."""

    def build(self, rng_seed: int) -> "PlannerPolicy":
        """Return a new policy; it makes no random choices.

        Raises:
            ConfigError: if the files of the model cannot be read.
        """
        return PlannerPolicy(self, self.gain_model())


class PlannerPolicy(GainPolicy):
    """The policy of `Planner`."""

    name: ClassVar[str] = "planner"

    def requests(
        self, observation: Observation, forecasts: Sequence[Forecast], most: int
    ) -> list[Decision]:
        """Return requests for the best offers above the threshold, else to wait."""
        best, threshold = best_of_slots(forecasts), self.options.threshold
        chosen = [each for each in best if each.cautious > threshold][:most]
        if not chosen:
            return [wait(f"no cautious net gain is above {threshold:g} ({self.words(best[0])})")]
        return [
            self.request(
                observation,
                self.with_companions(each, forecasts),
                reason=f"{self.words(each)}, above {threshold:g}",
                uncertainty=self.model.uncertainty(each.gain, each.deviation),
            )
            for each in chosen
        ]


def best_of_slots(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """Return the forecast of each slot's best offer, the largest cautious net gain first."""
    best: dict[str, Forecast] = {}
    for each in sorted(forecasts, key=lambda each: -each.cautious):
        best.setdefault(each.offer.slot, each)
    return list(best.values())
