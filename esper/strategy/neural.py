"""Thompson sampling on the last layer of a small network, see `foresight`.

score = normal(foreseen reward, (noise * scale)^2 * its relative variance)
"""

from dataclasses import dataclass
from typing import ClassVar

from esper.strategy.linthompson import LinThompson


@dataclass(frozen=True)
class Neural(LinThompson):
    """Chooses by a fresh draw of the reward that a network foresees in the present context."""

    name: ClassVar[str] = "neural"
    is_network: ClassVar[bool] = True

    reads_health: bool = True
