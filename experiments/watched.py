"""Watch a run: the test scores it would end with after each epoch, and whom its choices follow.

Nothing that is watched reaches the run, so that it is the same one as without.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from esper.attribution.evaluation import evaluate_model
from esper.contracts.plan import Plan, Selection
from esper.data.base import Split
from esper.grower.read_out import BestAverage
from esper.run.task import scores
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs
from experiments.choosers import CHOOSE, choosing_by

_KEEP = BestAverage.keep


@dataclass(frozen=True)
class Kept:
    """Test scores of the network that a run would read out if it ended with `epoch`."""

    epoch: int
    test_loss: float
    test_accuracy: float


@dataclass
class Watch:
    """What was seen of a run.

    kept: the networks that were the best so far, oldest first; the last one is read out.
    choices: for each germination with several blueprints on offer, whether the one with the
        highest first-order score was taken.
    """

    test: Split
    kept: list[Kept] = field(default_factory=list)
    choices: list[bool] = field(default_factory=list)

    def score(self, best: BestAverage) -> None:
        """Note the test scores of a network that is kept; it is in the mode of its read-out."""
        found = evaluate_model(lambda model: scores(model, self.test), best.host.model)
        assert found.accuracy is not None, "scores give hits too"
        self.kept.append(Kept(best.epoch, found.loss, found.accuracy))

    def note(self, selection: Selection, inputs: SelectionInputs) -> None:
        """Note a choice between blueprints of which each has a first-order score."""
        others = selection.alternatives
        if selection.seed is None or all(o.blueprint == selection.blueprint for o in others):
            return
        if all(other.seed == selection.seed for other in others):
            # The plan names the seed; its prospects were ranked before.
            by_name = {each.blueprint: each.first_order for each in inputs.state.prospects}
            own = by_name.get(selection.blueprint or "")
            rest = [by_name.get(other.blueprint) for other in others]
        else:
            own = inputs.first_order.get(selection.seed)
            rest = [inputs.first_order.get(other.seed) for other in others]
        known = [score for score in rest if score is not None]
        if own is not None and len(known) == len(rest):
            self.choices.append(own >= max(known))


@contextmanager
def watched(test: Split) -> Iterator[Watch]:
    """Watch the run inside the `with` block; `test` is its test split."""
    watch = Watch(test)

    def keep(best: BestAverage, loss: float, epoch: int) -> None:
        _KEEP(best, loss, epoch)
        watch.score(best)

    def choose(selector: Selector, plan: Plan, inputs: SelectionInputs) -> Any:
        filled, selections = CHOOSE(selector, plan, inputs)
        for selection in selections:
            watch.note(selection, inputs)
        return filled, selections

    setattr(BestAverage, _KEEP.__name__, keep)
    try:
        with choosing_by(choose):
            yield watch
    finally:
        setattr(BestAverage, _KEEP.__name__, _KEEP)
