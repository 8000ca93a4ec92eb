"""Log the faults of one slot's kernels, and keep which of its kernels rest."""

from dataclasses import asdict, dataclass
from typing import Any

from esper.kernels.errors import Remedy, first_line
from esper.kernels.options import RecoveryOptions


@dataclass(slots=True, kw_only=True)
class Fault:
    """Faults of one kernel with the same error type and remedy, since the log was last read.

    seed: index of the kernel's seed, None if the fault cannot be attributed to a kernel.
    error: name of the error's type.
    message: first line of the first error's text.
    """

    seed: int | None
    error: str
    remedy: str
    message: str
    count: int = 1


class FaultLog:
    """The faults of one slot's kernels.  Kernels are named by the index of their seed.

    options: None if recovery is off; kernel errors then propagate to the caller.
    resting: seeds whose kernels are left out of the network.
    fossils: seeds whose kernels are fossilized.
    """

    def __init__(self) -> None:
        self.options: RecoveryOptions | None = None
        self.resting: set[int] = set()
        self.fossils: set[int] = set()
        self._left: dict[int, int] = {}
        self._faults: list[Fault] = []

    def allow(self, seed: int, failures: int) -> None:
        """Let a kernel run until it has failed `failures` times."""
        self._left[seed] = failures
        self.resting.discard(seed)

    def failed(self, seed: int, error: Exception, remedy: Remedy) -> None:
        """Log a failure; `degrade`, or the last failure allowed, makes the kernel rest."""
        assert self.options is not None, "recovery is on"
        self.note(seed, error, remedy)
        self._left[seed] = self._left.get(seed, self.options.failures) - 1
        if remedy is Remedy.DEGRADE or self._left[seed] <= 0:
            self.resting.add(seed)

    def note(self, seed: int | None, error: Exception, remedy: Remedy) -> None:
        """Log a fault, without its traceback: its frames would keep tensors alive."""
        name = type(error).__name__
        for fault in self._faults:
            if (fault.seed, fault.error, fault.remedy) == (seed, name, remedy):
                fault.count += 1
                return
        message = first_line(error)
        self._faults.append(Fault(seed=seed, error=name, remedy=remedy.value, message=message))

    def take(self, seed: int | None) -> list[Fault]:
        """Remove and return the faults of one seed, oldest first."""
        taken = [fault for fault in self._faults if fault.seed == seed]
        self._faults = [fault for fault in self._faults if fault.seed != seed]
        return taken

    def clear(self) -> None:
        """Remove all faults; resting kernels still rest."""
        self._faults.clear()

    def forget(self, seed: int) -> None:
        """Remove all records of a kernel that leaves the slot."""
        self.resting.discard(seed)
        self.fossils.discard(seed)
        self._left.pop(seed, None)
        self.take(seed)

    def state(self) -> dict[str, Any]:
        """Return resting kernels, failures left and faults; recovery sets options and fossils."""
        return {
            "resting": sorted(self.resting),
            "left": sorted(self._left.items()),
            "faults": [asdict(fault) for fault in self._faults],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Load what `state` returned."""
        self.resting, self._left = set(state["resting"]), dict(state["left"])
        self._faults = [Fault(**saved) for saved in state["faults"]]
