"""Look after the kernels of one slot: who is left out after failures, and what has failed."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from esper.kernels.errors import Remedy, first_line
from esper.kernels.options import Recover


class FaultTracker:
    """What a slot knows of its kernels' failures.  Seeds are named by their index as text.

    options: None where nobody reads the notes; then a kernel's error is nobody's but the caller's.
    resting: seeds whose kernels are left out, as if they had never been.
    fossils: seeds whose kernels are part of the network for good.
    notes: what has failed since they were last read.
    """

    def __init__(self) -> None:
        self.options: Recover | None = None
        self.resting: set[str] = set()
        self.fossils: set[str] = set()
        self.notes = FaultLog()
        self._left: dict[str, int] = {}

    def allow(self, seed: str, failures: int) -> None:
        """Let a kernel take part until it has failed so many times."""
        self._left[seed] = failures
        self.resting.discard(seed)

    def rest(self, seed: str) -> None:
        """Leave a kernel out until it is allowed again."""
        self.resting.add(seed)

    def failed(self, seed: str, error: Exception, remedy: Remedy) -> None:
        """Count a failure; `degrade`, or the last one that it is allowed, lets the kernel rest."""
        assert self.options is not None, "somebody looks after the kernel"
        self.notes.add(seed, error, remedy)
        self._left[seed] = self._left.get(seed, self.options.failures) - 1
        if remedy is Remedy.DEGRADE or self._left[seed] <= 0:
            self.rest(seed)

    def forget(self, seed: str) -> None:
        """Forget all about a kernel that is taken away."""
        self.resting.discard(seed)
        self.fossils.discard(seed)
        self.notes.take(seed)
        self._left.pop(seed, None)

    def state(self) -> dict[str, Any]:
        """Return what changes, as plain values; options and fossils are told anew."""
        return {
            "resting": sorted(self.resting, key=int),
            "left": dict(self._left),
            "notes": self.notes.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.resting, self._left = set(state["resting"]), dict(state["left"])
        self.notes.load_state(state["notes"])


NOBODY = ""
"""Stands for a seed where no kernel could be found guilty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Failures of a kernel in one epoch that were met in the same way.

    seed: index of the kernel's seed as text, `NOBODY` where no kernel was found guilty.
    error: type of the error.
    message: first line of the first one's text.
    count: how many there were.
    """

    seed: str
    error: str
    remedy: str
    message: str
    count: int = 1


class FaultLog:
    """The failures in one slot since they were last read."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Fault] = {}

    def add(self, seed: str, error: Exception, remedy: Remedy) -> None:
        """Note a failure; nothing of the error itself is kept, its frames hold tensors."""
        name = type(error).__name__
        key = (seed, name, remedy.value)
        known = self._found.get(key)
        if known is not None:
            self._found[key] = replace(known, count=known.count + 1)
            return
        self._found[key] = Fault(
            seed=seed, error=name, remedy=remedy.value, message=first_line(error)
        )

    def take(self, seed: str) -> list[Fault]:
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
        incidents = [Fault(**saved) for saved in state]
        self._found = {(i.seed, i.error, i.remedy): i for i in incidents}
