"""The result of one control step."""

from dataclasses import dataclass

from esper.contracts.decision import Decision
from esper.contracts.event import LifecycleMove
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.stage import MARKS


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Measurements and changes of a control step, and the time that its parts took.

    moves: stage changes of seeds in this step, in order.
    has_rolled_back: whether the governor rolled the network back.
    flops: FLOPs of the epoch for training the network and its twins, and for attribution.
    probe_ms: time of the probe of the slots' health; 0 if there was none.
    widens: the policy's decision to widen the whole host, which a grower cannot do itself.
    """

    metrics: EpochMetrics
    observation: Observation
    moves: tuple[LifecycleMove, ...]
    has_rolled_back: bool
    flops: float
    evaluation_ms: float
    attribution_ms: float
    probe_ms: float = 0.0
    widens: Decision | None = None

    def __repr__(self) -> str:
        moves = [f"{move.slot}/{move.seed} -> {move.to_stage}" for move in self.moves]
        return f"StepReport({', '.join([*self._scores, *moves])})"

    def __str__(self) -> str:
        """Return the scores, and a line for each germination, blending and verdict."""
        lines = [
            f"  {MARKS[move.to_stage]} {move.slot} seed {move.seed} {move.to_stage.lower()} "
            f"({move.blueprint}): {move.reason}"
            for move in self.moves
            if move.to_stage in MARKS
        ]
        return "\n".join([", ".join(self._scores), *lines])

    @property
    def _scores(self) -> list[str]:
        metrics = self.metrics
        scores = [f"epoch {metrics.epoch}", f"loss {metrics.val_loss:.4g}"]
        if metrics.val_accuracy is not None:
            scores.append(f"accuracy {metrics.val_accuracy:.4g}")
        return [*scores, "rolled back"] if self.has_rolled_back else scores
