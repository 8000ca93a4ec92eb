"""The result of one control step."""

from dataclasses import dataclass

from esper.contracts.event import LifecycleMove
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Measurements and changes of a control step, and the time that its parts took.

    moves: stage changes of seeds in this step, in order.
    has_rolled_back: whether the governor rolled the network back.
    flops: FLOPs of the epoch for training the network and its twins, and for attribution.
    """

    metrics: EpochMetrics
    observation: Observation
    moves: tuple[LifecycleMove, ...]
    has_rolled_back: bool
    flops: float
    evaluation_ms: float
    attribution_ms: float

    def __repr__(self) -> str:
        accuracy = self.metrics.val_accuracy
        scores = [f"loss {self.metrics.val_loss:.4g}"]
        scores += [] if accuracy is None else [f"accuracy {accuracy:.4g}"]
        if self.has_rolled_back:
            scores.append("rolled back")
        moves = [f"{move.slot}/{move.seed} -> {move.to_stage}" for move in self.moves]
        return f"StepReport({', '.join([f'epoch {self.metrics.epoch}', *scores, *moves])})"
