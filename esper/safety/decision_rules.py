"""Rules of safety on what a decision says: known words, numbers in range, things that exist.

Each looks at one decision and returns why it is refused, or None.  They are asked in the order of
the table in `safety`; once the slot and the seed exist, later rules look them up freely.
"""

import math

from esper.contracts.decision import Adaptation, DecisionKind
from esper.contracts.stage import ALLOWED_MOVES, LIVE, SeedStage
from esper.safety.context import Review, memory_over, parameters_over

_TARGETS = {
    DecisionKind.FOSSILIZE: SeedStage.FOSSILIZED,
    DecisionKind.CULL: SeedStage.CULLED,
}


def known_kind(review: Review) -> str | None:
    """Refuse what is no kind of decision."""
    kind = review.decision.kind
    return None if isinstance(kind, DecisionKind) else f"kind {kind!r} is not known"


def reason(review: Review) -> str | None:
    """Refuse a decision without a reason."""
    text = review.decision.reason
    return None if isinstance(text, str) and text.strip() else "it gives no reason"


def numbers(review: Review) -> str | None:
    """Refuse shares outside of [0, 1], NaN included, and counts that are none."""
    decision = review.decision
    shares = {"confidence": decision.confidence, "urgency": decision.urgency, "risk": decision.risk}
    if decision.uncertainty is not None:
        shares["uncertainty"] = decision.uncertainty
    wrong = [f"{name} {value!r}" for name, value in shares.items() if not _is_share(value)]
    if wrong:
        return f"{', '.join(wrong)} must be in [0, 1]"
    count = decision.num_seeds
    if count is not None and not (_is_int(count) and count >= 1):
        return f"num_seeds {count!r} must be >= 1"
    return None


def barred(review: Review) -> str | None:
    """Refuse what is no tuple of blueprint names."""
    names = review.decision.barred
    is_valid = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    return None if is_valid else f"barred {names!r} must be a tuple of names"


def known_adaptation(review: Review) -> str | None:
    """Refuse an adaptation by an unknown word, or one beside a verdict."""
    word = review.decision.adaptation
    if review.is_adaptation and not isinstance(word, Adaptation):
        return f"adaptation {word!r} is not known"
    if not review.is_adaptation and word is not None:
        return f"adaptation {word!r} does not belong to {review.decision.kind}"
    return None


def slot_exists(review: Review) -> str | None:
    """Refuse a slot that the host has not."""
    name = review.decision.slot
    exists = any(slot.spec.name == name for slot in review.observation.slots)
    return None if exists else f"there is no slot {name!r}"


def seed_exists(review: Review) -> str | None:
    """Refuse a seed that the slot has not, and one named where the strategy chooses."""
    index = review.decision.seed
    if review.is_adaptation:
        return None if index is None else f"seed {index!r} is named, but the strategy chooses"
    if not _is_int(index) or review.seed is None:
        return f"slot '{review.decision.slot}' has no seed {index!r}"
    return None


def lifecycle(review: Review) -> str | None:
    """Refuse a verdict that the lifecycle does not allow in the seed's stage."""
    target, seed = _TARGETS.get(review.decision.kind), review.seed
    if target is None or seed is None or target in ALLOWED_MOVES[seed.stage]:
        return None
    return f"seed {seed.seed} of '{seed.slot}' cannot move {seed.stage} -> {target}"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


_DORMANT = frozenset({SeedStage.DORMANT})

NEEDED_STAGES: dict[Adaptation, frozenset[SeedStage]] = {
    Adaptation.ADD_NEURONS: _DORMANT,
    Adaptation.ADD_LAYER: _DORMANT,
    Adaptation.REMOVE_NEURONS: LIVE,
    Adaptation.REPLACE: LIVE,
}
"""In which stage a slot must have a seed for an adaptation to find something to do."""


def measured(review: Review) -> str | None:
    """Refuse to keep a seed whose gain was not measured."""
    if review.decision.kind is not DecisionKind.FOSSILIZE or review.seed is None:
        return None
    gain = review.seed.gain
    return None if gain is not None and math.isfinite(gain) else f"gain is {gain}"


def ablation_veto(review: Review) -> str | None:
    """Refuse to keep a seed that the network does better without; NaN is no pass either."""
    if review.decision.kind is not DecisionKind.FOSSILIZE or review.seed is None:
        return None
    ablation = review.seed.ablation
    return None if ablation is None or ablation >= 0 else f"ablation {ablation:.4g} is a veto"


def governor(review: Review) -> str | None:
    """Refuse all but culls while the governor suspects the network."""
    if not review.observation.is_suspect or review.decision.kind is DecisionKind.CULL:
        return None
    return "the governor suspects the network: nothing but a cull is carried out"


def growth_window(review: Review) -> str | None:
    """Refuse adaptations once growth is over: any of them may make a seed germinate."""
    if not review.is_adaptation or review.observation.may_grow:
        return None
    return f"epoch {review.observation.epoch} is past the growth window"


def growable(review: Review) -> str | None:
    """Refuse an adaptation for which the slot has no seed in the right stage, or too few seeds."""
    decision = review.decision
    if not review.is_adaptation or decision.adaptation is None:
        return None
    seeds, needed = review.slot.seeds, NEEDED_STAGES[decision.adaptation]
    if not any(seed.stage in needed for seed in seeds):
        stages = ", ".join(stage for stage in SeedStage if stage in needed)
        return f"slot '{decision.slot}' has no seed in {stages} to {decision.adaptation}"
    if decision.num_seeds is not None and decision.num_seeds > len(seeds):
        return f"{decision.num_seeds} seeds are wanted of {len(seeds)} in slot '{decision.slot}'"
    return None


def cooldown(review: Review) -> str | None:
    """Refuse to adapt a slot that rests after a change."""
    if not review.is_adaptation or review.observation.epoch >= review.slot.rests_until:
        return None
    return f"slot '{review.decision.slot}' rests until epoch {review.slot.rests_until}"


def health(review: Review) -> str | None:
    """Refuse to adapt where the loss, or the gradient of a live seed of the slot, is not finite."""
    if not review.is_adaptation:
        return None
    if not math.isfinite(review.observation.metrics.val_loss):
        return f"validation loss is {review.observation.metrics.val_loss}"
    for seed in review.slot.live:
        if seed.gradient_norm is not None and not math.isfinite(seed.gradient_norm):
            return f"gradient norm of seed {seed.seed} of '{seed.slot}' is {seed.gradient_norm}"
    return None


def blueprint_left(review: Review) -> str | None:
    """Refuse an adaptation that bars every blueprint of its slot."""
    if not review.is_adaptation:
        return None
    left = set(review.slot.spec.catalogue) - set(review.decision.barred)
    return None if left else f"every blueprint of slot '{review.decision.slot}' is barred"


def confidence(review: Review) -> str | None:
    """Refuse a learned policy that is not sure enough."""
    decision, least = review.decision, review.limits.min_confidence
    if not decision.learned or decision.confidence >= least:
        return None
    return f"confidence {decision.confidence:.4g} < {least:g}"


def uncertainty(review: Review) -> str | None:
    """Refuse a policy that knows too little, or a learned one that does not say how much."""
    value, most = review.decision.uncertainty, review.limits.max_uncertainty
    if value is None:
        return "a learned policy must state its uncertainty" if review.decision.learned else None
    return None if value <= most else f"uncertainty {value:.4g} > {most:g}"


def risk(review: Review) -> str | None:
    """Refuse what is too risky."""
    value, most = review.decision.risk, review.limits.max_risk
    return None if value <= most else f"risk {value:.4g} > {most:g}"


def one_change_a_target(review: Review) -> str | None:
    """Refuse a second change of a seed in an epoch; an adaptation changes its whole slot."""
    decision = review.decision
    for other in review.accepted:
        if other.kind is DecisionKind.WAIT or other.slot != decision.slot:
            continue
        if review.is_adaptation or other.kind is DecisionKind.ADAPT or other.seed == decision.seed:
            return f"slot '{decision.slot}' is changed by another decision ({other.kind})"
    return None


def max_adaptations_per_epoch(review: Review) -> str | None:
    """Refuse more adaptations in an epoch than allowed."""
    most = review.limits.max_adaptations_per_epoch
    done = sum(other.kind is DecisionKind.ADAPT for other in review.accepted)
    if not review.is_adaptation or done < most:
        return None
    return f"{done} adaptations this epoch already (at most {most})"


def max_live_seeds(review: Review) -> str | None:
    """Refuse to adapt where no seed could be germinated, whatever leaves before."""
    most, staying = review.limits.max_live_seeds, len(review.observation.live_seeds)
    staying -= len(review.may_leave)
    if not review.is_adaptation or most is None or staying + 1 <= most:
        return None
    return f"{staying} live seeds stay, one more would be too many (at most {most})"


def parameter_budget(review: Review) -> str | None:
    """Refuse to adapt where the smallest kernel is too large already.

    Where seeds may leave, only the plan says what is given back.
    """
    if not review.is_adaptation or review.may_leave:
        return None
    return parameters_over(review.limits, review.usage, review.least.parameters, "at least ")


def memory_budget(review: Review) -> str | None:
    """Refuse to adapt where memory is not known, or the smallest kernel takes too much already."""
    if not review.is_adaptation:
        return None
    more = 0.0 if review.may_leave else review.least.memory_mb
    return memory_over(review.limits, review.usage, more, "at least ")
