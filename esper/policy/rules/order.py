"""Choose the slot that grows next, by what growth there promises and has brought.

    promise = score x (kept trials + 1) / (settled trials + unmet requests + 1) / (1 + penalty)

`score` is the first-order score of the slot's best blueprint (`SlotState.score`), `penalty` the
least of the blueprints that its dormant seeds are bound to.  A slot without a
score counts as average; if no slot has one, all count alike.  Trials in a slot whose kernels fail
thus lose to those in others, but are never excluded.
"""

import math
import statistics

from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.rules.counters import SettledTrials, UnmetRequests
from esper.policy.rules.growth import germinations
from esper.policy.rules.penalties import Penalties


def most_promising(
    slots: list[SlotState], trials: SettledTrials, unmet: UnmetRequests, penalties: Penalties
) -> SlotState:
    """Return the slot to grow, of slots that can grow.

    A slot in which every offer is barred comes last.  A slot with n failed trials comes after all
    in which fewer than n were made, so that none has a second failed trial before the others had
    their first.  Then the largest promise decides, then the largest mean gain of the slot's trials
    (a slot without one comes before), then the fewest germinations and requests, then the cheapest
    kernel, then the order of the slots.
    """
    tried = {slot.spec.name: germinations(slot) + unmet[slot.spec.name] for slot in slots}
    fewest = min(tried.values())
    average = statistics.fmean(_known(slots) or [1.0])

    def rank(slot: SlotState) -> tuple[bool, bool, float, float, int, float]:
        name = slot.spec.name
        failed, settled = trials.failed.get(name, 0), trials.settled.get(name, 0)
        score = average if slot.score is None or not math.isfinite(slot.score) else slot.score
        bound = offers(slot)
        penalty = min((penalties[each] for each in bound), default=0.0)
        promise = score * (settled - failed + 1) / (settled + unmet[name] + 1) / (1 + penalty)
        is_barred = all(map(penalties.is_over, bound))
        gain = trials.mean_gain(name)
        lacking = -math.inf if gain is None else -gain
        return is_barred, failed > fewest, -promise, lacking, tried[name], slot.least_flops

    return min(slots, key=rank)


def offers(slot: SlotState) -> list[str]:
    """Return the blueprints that the slot's dormant seeds are bound to."""
    return [seed.bound for seed in slot.seeds if seed.stage is SeedStage.DORMANT]


def _known(slots: list[SlotState]) -> list[float]:
    """Return the finite scores."""
    return [slot.score for slot in slots if slot.score is not None and math.isfinite(slot.score)]
