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
from esper.policy.rules.verdict import VerdictRules, harm, would_keep

UNDECIDED_AGE = 6
"""Age of a look from which on several undecided seeds of a slot are too many."""


def with_removals(
    decisions: list[Decision], observation: Observation, rules: VerdictRules
) -> list[Decision]:
    """Return the decisions, with one to keep the better half of each slot with undecided seeds.

    It takes the place of the verdicts on these.  A seed is undecided if it waits for its next look,
    or is culled only because the run cannot pay for that look; the better half must be paid for.
    Nothing is removed once a kernel that blends again would not be looked at in time.
    """
    if not (observation.may_blend_again and observation.may_grow):
        return decisions
    verdicts = {(each.slot, each.seed): each.kind for each in decisions}
    settled: set[tuple[str | None, int | None]] = set()
    removals: list[Decision] = []
    for slot in observation.slots:
        here = [(seed, verdicts.get((seed.slot, seed.seed))) for seed in slot.live]
        undecided = [seed for seed, kind in here if _is_undecided(seed, kind, rules)]
        looks = [seed.look for seed in undecided if seed.look is not None]
        is_old = sum(look.age >= UNDECIDED_AGE for look in looks) > 1
        if is_old and 2 * sum(look.is_unpaid for look in looks) <= len(looks):
            removals.append(_removal(slot, undecided, observation))
            settled.update((seed.slot, seed.seed) for seed in undecided)
    kept = [each for each in decisions if (each.slot, each.seed) not in settled]
    return [*kept, *removals]


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
    has_event = observation.events_left != 0
    return observation.may_grow and in_time and is_known and has_event


def _is_undecided(seed: SeedState, kind: DecisionKind | None, rules: VerdictRules) -> bool:
    """Return whether the evidence of a look neither keeps nor culls a seed, by its verdict."""
    if seed.look is None or harm(seed, rules) is not None:
        return False
    is_short = kind is DecisionKind.CULL and seed.look.is_unpaid and (seed.gain or 0.0) > 0
    return kind is DecisionKind.WAIT or is_short


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
