"""Look after the kernels of one slot: who is left out after failures, and what has failed."""

from typing import Any

from esper.growth.failures import Strategy
from esper.growth.incidents import Notes
from esper.growth.options import Recover


class Care:
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
        self.notes = Notes()
        self._left: dict[str, int] = {}

    def allow(self, seed: str, failures: int) -> None:
        """Let a kernel take part until it has failed so many times."""
        self._left[seed] = failures
        self.resting.discard(seed)

    def rest(self, seed: str) -> None:
        """Leave a kernel out until it is allowed again."""
        self.resting.add(seed)

    def failed(self, seed: str, error: Exception, strategy: Strategy) -> None:
        """Count a failure; `degrade`, or the last one that it is allowed, lets the kernel rest."""
        assert self.options is not None, "somebody looks after the kernel"
        self.notes.add(seed, error, strategy)
        self._left[seed] = self._left.get(seed, self.options.failures) - 1
        if strategy is Strategy.DEGRADE or self._left[seed] <= 0:
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
