"""Remember experiences and draw those again that surprised most: prioritised replay.

    p_i    = priority_i^sharpness / sum over j of priority_j^sharpness
    weight = (N p_i)^-correction, relative to the largest one drawn

The priority is the absolute advantage, and a little more.

Source: Schaul et al. 2016.  The probabilities of actions are those of the policy that took them, so
that an update's ratios stay right; experiences that are too old are forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from esper.learning.ppo import Experience
from esper.learning.situation import Situation

EPSILON = 1e-3


@dataclass
class Replay:
    """Experiences with the update that they came from, the oldest first.

    capacity: most experiences, >= 1.
    most_age: updates after which an experience is forgotten, >= 1.
    sharpness, correction: exponents, in [0, 1].
    """

    capacity: int = 50_000
    most_age: int = 4
    sharpness: float = 0.6
    correction: float = 0.4
    held: list[tuple[int, Experience]] = field(default_factory=list)

    def add(self, experiences: Sequence[Experience], update: int) -> None:
        """Add the experiences of an update, and forget those that are too old or too many."""
        self.held += [(update, each) for each in experiences]
        self.held = [(at, each) for at, each in self.held if update - at < self.most_age]
        del self.held[: -self.capacity]

    def draw(self, number: int, generator: torch.Generator) -> list[Experience]:
        """Return experiences drawn with replacement, with their weights.

        Raises:
            ValueError: if there is none.
        """
        if not self.held:
            raise ValueError("there is no experience to draw")
        advantages = torch.tensor([each.advantage for _, each in self.held])
        priorities = (advantages.abs() + EPSILON) ** self.sharpness
        chances = priorities / priorities.sum()
        rows = torch.multinomial(chances, number, replacement=True, generator=generator)
        weights = (len(self.held) * chances[rows]) ** -self.correction
        weights = weights / weights.max()
        return [
            replace(self.held[row][1], weight=weight)
            for row, weight in zip(rows.tolist(), weights.tolist(), strict=True)
        ]

    def state_dict(self) -> list[Any]:
        """Return the experiences as plain values and tensors."""
        return [[at, {**_shallow(e), "situation": _shallow(e.situation)}] for at, e in self.held]

    def load_state_dict(self, state: Sequence[Any]) -> None:
        """Load what `state_dict` returned."""
        self.held = [(at, _experience(values)) for at, values in state]


def _shallow(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _experience(values: Mapping[str, Any]) -> Experience:
    return Experience(**{**values, "situation": Situation(**values["situation"])})
