"""Rules that a decision must pass before it is planned.

A rule returns why it refuses a decision, or None.  `DECISION_RULES` lists the rules for each kind
of decision in the order of evaluation; each relies on those before it.  `plan_rules` checks the
effects on the network, once seeds are chosen and kernels built.
"""

import math
from collections.abc import Callable

from esper.contracts.decision import SLOT_CHANGES, Adaptation, Decision, DecisionKind
from esper.contracts.stage import LIVE, SeedStage
from esper.safety.context import DecisionReview, is_share
from esper.signals.health_score import find_problem

_DORMANT = frozenset({SeedStage.DORMANT})

NEEDED_STAGES: dict[Adaptation, frozenset[SeedStage]] = {
    Adaptation.ADD_NEURONS: _DORMANT,
    Adaptation.ADD_LAYER: _DORMANT,
    Adaptation.REMOVE_NEURONS: LIVE,
    Adaptation.REPLACE: LIVE,
}
"""An adaptation needs a seed of the slot in one of these stages."""


def known_kind(review: DecisionReview) -> str | None:
    """Refuse an unknown kind of decision."""
    kind = review.decision.kind
    return None if isinstance(kind, DecisionKind) else f"kind {kind!r} is not known"


def reason(review: DecisionReview) -> str | None:
    """Refuse a decision without a reason."""
    text = review.decision.reason
    return None if isinstance(text, str) and text.strip() else "it gives no reason"


def numbers(review: DecisionReview) -> str | None:
    """Refuse shares outside of [0, 1], NaN included, and a count of seeds below 1."""
    decision = review.decision
    shares = {"confidence": decision.confidence, "urgency": decision.urgency, "risk": decision.risk}
    if decision.uncertainty is not None:
        shares["uncertainty"] = decision.uncertainty
    wrong = [f"{name} {value!r}" for name, value in shares.items() if not is_share(value)]
    if wrong:
        return f"{', '.join(wrong)} must be in [0, 1]"
    count = decision.num_seeds
    if count is not None and not (_is_int(count) and count >= 1):
        return f"num_seeds {count!r} must be >= 1"
    return None


def barred(review: DecisionReview) -> str | None:
    """Refuse `barred` unless it is a tuple of blueprint names."""
    names = review.decision.barred
    is_valid = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    return None if is_valid else f"barred {names!r} must be a tuple of names"


def known_adaptation(review: DecisionReview) -> str | None:
    """Refuse an unknown adaptation, and a verdict with an adaptation."""
    word = review.decision.adaptation
    if review.is_adaptation:
        is_known = isinstance(word, Adaptation) and word in SLOT_CHANGES
        return None if is_known else f"adaptation {word!r} is not known"
    if word is not None:
        return f"adaptation {word!r} does not belong to {review.decision.kind}"
    return None


def slot_exists(review: DecisionReview) -> str | None:
    """Refuse a slot that the host does not have."""
    name = review.decision.slot
    exists = any(slot.spec.name == name for slot in review.observation.slots)
    return None if exists else f"there is no slot {name!r}"


def seed_exists(review: DecisionReview) -> str | None:
    """Refuse a verdict on a missing seed; of adaptations only a replacement may name a seed."""
    index = review.decision.seed
    if review.is_adaptation and index is None:
        return None
    if review.is_adaptation and not review.is_replacement:
        return f"seed {index!r} is named, but the strategy chooses"
    if not _is_int(index) or index not in {seed.seed for seed in review.slot.seeds}:
        return f"slot '{review.decision.slot}' has no seed {index!r}"
    return None


def governor(review: DecisionReview) -> str | None:
    """Refuse anything but a cull while the governor suspects the network."""
    if review.observation.is_suspect:
        return "the governor suspects the network: nothing but a cull is carried out"
    return None


def measured(review: DecisionReview) -> str | None:
    """Refuse to fossilize a seed without a measured gain."""
    gain = review.seed.gain
    return None if gain is not None and math.isfinite(gain) else f"gain is {gain}"


def growth_window(review: DecisionReview) -> str | None:
    """Refuse adaptations, which may germinate seeds, once growth is over."""
    observation = review.observation
    return None if observation.may_grow else f"epoch {observation.epoch} is past the growth window"


def growable(review: DecisionReview) -> str | None:
    """Refuse an adaptation if the slot has no seed in a needed stage, or too few seeds."""
    decision = review.decision
    assert decision.adaptation is not None, "known_adaptation comes first"
    seeds, needed = review.slot.seeds, NEEDED_STAGES[decision.adaptation]
    if decision.seed is not None and review.seed.stage not in needed:
        return f"seed {decision.seed} of slot '{decision.slot}' is {review.seed.stage}"
    if not any(seed.stage in needed for seed in seeds):
        stages = ", ".join(stage for stage in SeedStage if stage in needed)
        return f"slot '{decision.slot}' has no seed in {stages} to {decision.adaptation}"
    if decision.num_seeds is not None and decision.num_seeds > len(seeds):
        return f"{decision.num_seeds} seeds are wanted of {len(seeds)} in slot '{decision.slot}'"
    return None


def cooldown(review: DecisionReview) -> str | None:
    """Refuse to adapt a slot that rests after a change, except to replace a named seed."""
    is_named = review.decision.seed is not None
    if is_named or review.observation.epoch >= review.slot.rests_until:
        return None
    return f"slot '{review.decision.slot}' rests until epoch {review.slot.rests_until}"


def health(review: DecisionReview) -> str | None:
    """Refuse to adapt while the loss or the gradient of a live seed of the slot is not finite.

    A problem slot gets no further kernel either, but those that fail may be replaced or removed.
    """
    if not math.isfinite(review.observation.metrics.val_loss):
        return f"validation loss is {review.observation.metrics.val_loss}"
    for seed in review.slot.live:
        if seed.gradient_norm is not None and not math.isfinite(seed.gradient_norm):
            return f"gradient norm of seed {seed.seed} of '{seed.slot}' is {seed.gradient_norm}"
    return _problem(review)


def _problem(review: DecisionReview) -> str | None:
    word, failing = review.decision.adaptation, find_problem(review.slot)
    assert word is not None, "known_adaptation comes first"
    if failing is None or NEEDED_STAGES[word] is not _DORMANT:
        return None
    share = 100 * (failing.error_rate or 0.0)
    return (
        f"slot '{failing.slot}' has a problem: the kernel of seed {failing.seed} failed in "
        f"{share:.0f} % of its steps"
    )


def confidence(review: DecisionReview) -> str | None:
    """Refuse to keep a kernel with too little confidence."""
    decision, least = review.decision, review.limits.min_confidence
    if decision.kind is not DecisionKind.FOSSILIZE or decision.confidence >= least:
        return None
    return f"confidence {decision.confidence:.4g} < {least:g}"


def uncertainty(review: DecisionReview) -> str | None:
    """Refuse too much uncertainty, and a learned policy that does not state its own."""
    value, most = review.decision.uncertainty, review.limits.max_uncertainty
    if value is None:
        return "a learned policy must state its uncertainty" if review.decision.learned else None
    return None if value <= most else f"uncertainty {value:.4g} > {most:g}"


def risk(review: DecisionReview) -> str | None:
    """Refuse too much risk."""
    value, most = review.decision.risk, review.limits.max_risk
    return None if value <= most else f"risk {value:.4g} > {most:g}"


def one_change_a_target(review: DecisionReview) -> str | None:
    """Refuse a second change of a seed in an epoch.

    An adaptation changes its whole slot, but a replacement only the seed that it names, and a
    removal only what earlier verdicts leave.
    """
    for other in review.accepted:
        is_here = other.kind is not DecisionKind.WAIT and other.slot == review.decision.slot
        if is_here and _collide(other, review.decision):
            return f"slot '{other.slot}' is changed by another decision ({other.kind})"
    return None


def _collide(earlier: Decision, later: Decision) -> bool:
    """Return whether two decisions on one slot may change the same seed."""
    if DecisionKind.ADAPT not in (earlier.kind, later.kind):
        return earlier.seed == later.seed
    if earlier.kind is later.kind:
        return True
    if later.adaptation is Adaptation.REMOVE_NEURONS:
        return False
    adapting, verdict = (later, earlier) if later.kind is DecisionKind.ADAPT else (earlier, later)
    return adapting.seed is None or adapting.seed == verdict.seed


def max_adaptations_per_epoch(review: DecisionReview) -> str | None:
    """Refuse more adaptations in an epoch than allowed."""
    most = review.limits.max_adaptations_per_epoch
    done = sum(other.kind is DecisionKind.ADAPT for other in review.accepted)
    return None if done < most else f"{done} adaptations this epoch already (at most {most})"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


DecisionRule = Callable[[DecisionReview], str | None]

_FORM: tuple[DecisionRule, ...] = (known_kind, reason, numbers, barred)
_TARGET: tuple[DecisionRule, ...] = (known_adaptation, slot_exists, seed_exists)
_GROWTH: tuple[DecisionRule, ...] = (governor, growth_window, growable, cooldown, health)
_TRUST: tuple[DecisionRule, ...] = (confidence, uncertainty, risk, one_change_a_target)

DECISION_RULES: dict[DecisionKind, tuple[DecisionRule, ...]] = {
    DecisionKind.WAIT: _FORM,
    DecisionKind.CULL: (*_FORM, *_TARGET, *_TRUST),
    DecisionKind.FOSSILIZE: (*_FORM, *_TARGET, governor, measured, *_TRUST),
    DecisionKind.ADAPT: (*_FORM, *_TARGET, *_GROWTH, *_TRUST, max_adaptations_per_epoch),
}
"""The rules for each kind of decision, in the order of evaluation."""
