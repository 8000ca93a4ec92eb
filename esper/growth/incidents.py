"""What failed in a slot's kernels, as plain values, until the control step reads it."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from esper.growth.failures import Strategy, first_line

NOBODY = ""
"""Stands for a seed where no kernel could be found guilty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Failures of a kernel in one epoch that were met in the same way.

    seed: index of the kernel's seed as text, `NOBODY` where no kernel was found guilty.
    error: type of the error.
    message: first line of the first one's text.
    count: how many there were.
    """

    seed: str
    error: str
    strategy: str
    message: str
    count: int = 1


class Notes:
    """The failures in one slot since they were last read."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Incident] = {}

    def add(self, seed: str, error: Exception, strategy: Strategy) -> None:
        """Note a failure; nothing of the error itself is kept, its frames hold tensors."""
        name = type(error).__name__
        key = (seed, name, strategy.value)
        known = self._found.get(key)
        if known is not None:
            self._found[key] = replace(known, count=known.count + 1)
            return
        self._found[key] = Incident(
            seed=seed, error=name, strategy=strategy.value, message=first_line(error)
        )

    def take(self, seed: str) -> list[Incident]:
        """Return the failures of one seed, in the order of their first time, and forget them."""
        taken = [found for found in self._found.values() if found.seed == seed]
        self._found = {key: found for key, found in self._found.items() if found.seed != seed}
        return taken

    def clear(self) -> None:
        """Forget all failures."""
        self._found.clear()

    def state(self) -> list[dict[str, Any]]:
        """Return all failures as plain values."""
        return [asdict(incident) for incident in self._found.values()]

    def load_state(self, state: list[dict[str, Any]]) -> None:
        """Take over what `state` gave."""
        incidents = [Incident(**saved) for saved in state]
        self._found = {(i.seed, i.error, i.strategy): i for i in incidents}
