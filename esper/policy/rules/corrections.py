"""Correct predicted gains by what the settled trials of a run have measured.

    residual    = measured gain - predicted gain, in log loss
    correction  = run's part + slot's part
    run's part  = mean residual * n / (n + NOISE^2 / RUN^2), of all n trials
    slot's part = mean (residual - run's part) * m / (m + NOISE^2 / error^2), of its m trials

Each part is the posterior mean of a normal offset of the residuals, which have the noise of a
measurement; its standard deviation is `RUN` for a run, and the model's error for a slot.
"""

from dataclasses import dataclass, field
from statistics import fmean

from esper.policy.rules.posterior import NOISE

RUN = 0.03
"""Standard deviation of what all gains of a run have in common beside the predicted ones."""


@dataclass
class Corrections:
    """The residuals of a run's settled trials.

    error: standard deviation of a slot's gain about its prediction, > 0.
    residuals: of each slot.
    """

    error: float
    residuals: dict[str, list[float]] = field(default_factory=dict)

    def add(self, slot: str, residual: float) -> None:
        """Add a settled trial."""
        self.residuals.setdefault(slot, []).append(residual)

    def of(self, slot: str) -> float:
        """Return what to add to the predicted gains of a slot."""
        run, own = self._run, self.residuals.get(slot, [])
        if not own:
            return run
        share = len(own) / (len(own) + (NOISE / self.error) ** 2)
        return run + share * fmean(each - run for each in own)

    @property
    def _run(self) -> float:
        every = [each for own in self.residuals.values() for each in own]
        return fmean(every) * len(every) / (len(every) + (NOISE / RUN) ** 2) if every else 0.0
