"""Count the time and the memory that a run uses, its parts before a resume included."""

import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

_MIB = 2**20
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of `ru_maxrss`."""


class RunUsage:
    """What a run has used since it began; begins when it is built."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._processor_began_s = time.process_time()
        self._earlier_peak_mb = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds by the wall clock."""
        return time.perf_counter() - self._began_s

    @property
    def processor_s(self) -> float:
        """Processor seconds of the process and all its threads, user and system."""
        return time.process_time() - self._processor_began_s

    @property
    def peak_memory_mb(self) -> float:
        """Largest resident memory in MiB, of the process from its start, which may precede the run.

        Memory of an accelerator is not counted.
        """
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT / _MIB
        return max(self._earlier_peak_mb, peak)

    def facts(self) -> dict[str, float]:
        """Return everything that a resumed run needs in order to go on counting."""
        return {
            "elapsed_s": self.elapsed_s,
            "processor_s": self.processor_s,
            "peak_memory_mb": self.peak_memory_mb,
        }

    def resume(self, facts: Mapping[str, Any]) -> None:
        """Add what earlier parts of the run used, as `facts` returned it."""
        self._began_s -= facts["elapsed_s"]
        self._processor_began_s -= facts["processor_s"]
        self._earlier_peak_mb = facts["peak_memory_mb"]
