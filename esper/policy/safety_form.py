"""Rules of safety on what a decision says: known words, numbers in range, things that exist.

Each looks at one decision and returns why it is refused, or None.  They are asked in the order of
the table in `safety`; once the slot and the seed exist, later rules look them up freely.
"""

from esper.contracts.decision import Adaptation, DecisionKind
from esper.contracts.stage import ALLOWED_MOVES, SeedStage
from esper.policy.safety_review import Review

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
