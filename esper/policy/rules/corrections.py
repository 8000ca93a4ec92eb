"""Correct predicted gains by what the settled trials of a run have measured.

    residual         = measured gain - predicted gain, in log loss
    run's part       = share(RUN) of the mean residual of all trials
    slot's part      = share(SLOT) of the mean rest of the slot's trials
    blueprint's part = share(error) of the mean rest of its own trials in the slot

    share(deviation) = n deviation^2 / (n deviation^2 + variance of the parts below and of the
                       noise), of n trials

Each part is the posterior mean of a normal offset, of which a larger part says more about others:
that one kernel brought nothing in a slot says little about another blueprint there.
"""

from dataclasses import dataclass, field
from statistics import fmean

from esper.policy.rules.posterior import NOISE

RUN = 0.03
"""Standard deviation of what all gains of a run have in common beside the predicted ones."""
SLOT = 0.03
"""Standard deviation of what the gains in a slot have in common beside that."""


@dataclass
class Corrections:
    """The residuals of a run's settled trials.

    error: standard deviation of a kernel's gain about its prediction, > 0.
    residuals: of each slot, by blueprint.
    """

    error: float
    residuals: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, slot: str, blueprint: str, residual: float) -> None:
        """Add a settled trial."""
        self.residuals.setdefault(slot, {}).setdefault(blueprint, []).append(residual)

    def of(self, slot: str, blueprint: str) -> float:
        """Return what to add to the predicted gain of a blueprint in a slot."""
        here = self.residuals.get(slot, {})
        every = [each for own in self.residuals.values() for each in _joined(own)]
        own = self.error**2 + NOISE**2
        run = _part(every, RUN, SLOT**2 + own)
        of_slot = run + _part([each - run for each in _joined(here)], SLOT, own)
        rests = [each - of_slot for each in here.get(blueprint, [])]
        return of_slot + _part(rests, self.error, NOISE**2)


def _joined(own: dict[str, list[float]]) -> list[float]:
    return [each for residuals in own.values() for each in residuals]


def _part(rests: list[float], deviation: float, noise: float) -> float:
    """Return the posterior mean of an offset with a deviation, by rests of variance `noise`."""
    weight = len(rests) * deviation**2
    return fmean(rests) * weight / (weight + noise) if rests else 0.0
