"""Choose the kind of change by the state of a slot.

add_layer       when it is time to grow, and no trial of the run has settled in the slot
remove_neurons  when two or more seeds of the slot are undecided from `UNDECIDED_AGE` on
replace         when a look culls a seed, and a verdict would keep another blueprint if it gained
                what the strategy expects, with the same standard error
add_neurons     when it is time to grow otherwise
"""

import math
from dataclasses import replace
from statistics import NormalDist

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotState
from esper.policy.rules.growth import GrowthRules, last_epoch
from esper.policy.rules.penalties import Penalties
from esper.policy.rules.verdict import VerdictRules, would_keep

UNDECIDED_AGE = 6
"""Age of a look from which on several undecided seeds of a slot are too many."""


def removals(observation: Observation, verdicts: list[Decision]) -> list[Decision]:
    """Return a decision to keep the better half for each slot with several undecided seeds.

    There is none once a kernel that blends again would not be looked at in time.
    """
    waiting = {(each.slot, each.seed) for each in verdicts if each.kind is DecisionKind.WAIT}
    if not (observation.may_blend_again and observation.may_grow):
        return []
    decisions: list[Decision] = []
    for slot in observation.slots:
        seeds = [seed for seed in slot.live if (seed.slot, seed.seed) in waiting]
        old = [s for s in seeds if s.look is not None and s.look.age >= UNDECIDED_AGE]
        if len(old) > 1:
            decisions.append(_removal(slot, old, observation))
    return decisions


def with_removals(verdicts: list[Decision], removed: list[Decision]) -> list[Decision]:
    """Return the verdicts and the removals, which take the place of verdicts to wait."""
    slots = {decision.slot for decision in removed}
    kept = [
        each for each in verdicts if each.kind is not DecisionKind.WAIT or each.slot not in slots
    ]
    return [*kept, *removed]


def with_replacements(
    decisions: list[Decision],
    observation: Observation,
    rules: GrowthRules,
    verdict_rules: VerdictRules,
    penalties: Penalties,
) -> list[Decision]:
    """Return the decisions with the first cull of each slot made a replacement where that pays.

    A replacement is no request to grow: it waits for no trigger, embargo or rest.  Where the run
    cannot pay for the trial, the cull says so.  Replacements come last, because kernels that the
    others keep raise what the run may cost.
    """
    changed = {each.slot for each in decisions if each.kind is DecisionKind.ADAPT}
    if not _has_time(observation, rules):
        return decisions
    result: list[Decision] = []
    for decision in decisions:
        if decision.kind is DecisionKind.CULL and decision.slot not in changed:
            assert decision.slot is not None, "a cull names its slot"
            slot = observation.slot(decision.slot)
            result.append(_replaced(decision, slot, observation, verdict_rules, penalties))
            if result[-1].kind is DecisionKind.ADAPT:
                changed.add(decision.slot)
        else:
            result.append(decision)
    return sorted(result, key=lambda each: each.adaptation is Adaptation.REPLACE)


def risk_of(observation: Observation, *risks: float) -> float:
    """Return the risk of a change: the share of the budget that is over, or a larger one given."""
    return max([min(1.0, observation.epoch / max(1, observation.epochs)), *risks])


def _has_time(observation: Observation, rules: GrowthRules) -> bool:
    is_known = math.isfinite(observation.metrics.val_loss) and not observation.is_suspect
    in_time = observation.epoch <= last_epoch(rules, observation.epochs)
    return observation.may_grow and in_time and is_known


def _removal(slot: SlotState, seeds: list[SeedState], observation: Observation) -> Decision:
    ages = sorted({seed.look.age for seed in seeds if seed.look is not None})
    return Decision(
        kind=DecisionKind.ADAPT,
        slot=slot.spec.name,
        adaptation=Adaptation.REMOVE_NEURONS,
        reason=f"{len(seeds)} seeds are undecided at age {', '.join(map(str, ages))}",
        confidence=_spread(seeds),
        risk=risk_of(observation),
    )


def _spread(seeds: list[SeedState]) -> float:
    """Return the probability that the seed with the largest gain is better than the smallest."""
    known = sorted((s.gain, s.gain_error or 0.0) for s in seeds if s.gain is not None)
    if len(known) < 2:
        return 0.5
    (low, low_error), (high, high_error) = known[0], known[-1]
    error = math.hypot(low_error, high_error)
    return NormalDist().cdf((high - low) / error) if error > 0 else 1.0


def _replaced(
    cull: Decision,
    slot: SlotState,
    observation: Observation,
    rules: VerdictRules,
    penalties: Penalties,
) -> Decision:
    """Return the decision to replace a culled seed, or to cull it."""
    seed = next(seed for seed in slot.seeds if seed.seed == cull.seed)
    if seed.look is None:
        return cull
    barred = penalties.barred(slot.spec.catalogue, [each.blueprint for each in slot.prospects])
    promising = [
        each
        for each in slot.prospects
        if each.blueprint not in barred and would_keep(each, seed, rules)
    ]
    if not promising:
        return cull
    fitting = [each for each in promising if each.fits]
    if not fitting:
        reason = f"{cull.reason}; safety.max_cost pays for no trial of {promising[0].blueprint}"
        return replace(cull, reason=reason)
    wanted = [each.blueprint for each in fitting]
    gain, bar = fitting[0].expected_gain, seed.look.last_bar
    hope = f"{wanted[0]} is expected to gain {gain:.4g} > {bar:.4g}"
    return replace(
        cull,
        kind=DecisionKind.ADAPT,
        adaptation=Adaptation.REPLACE,
        reason=f"{cull.reason}; {hope}",
        risk=risk_of(observation, min(each.risk for each in fitting)),
        # The strategy chooses only among what is worth a trial, and fits.
        barred=tuple(name for name in slot.spec.catalogue if name not in wanted),
    )
