"""The result of one control step."""

from dataclasses import dataclass

from esper.contracts.event import LifecycleMove
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a control step observed and changed, and how long its parts took.

    moves: the stage changes of seeds in this step, in order.
    flops: of the epoch: training of the network and its twins, and attribution.
    """

    metrics: EpochMetrics
    observation: Observation
    moves: tuple[LifecycleMove, ...]
    flops: float
    evaluation_ms: float
    attribution_ms: float
