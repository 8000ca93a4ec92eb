"""Judge live seeds: keep, cull, or judge again later.  The same for all policies.

    keep   gain > max(0.005, one standard error, min_improvement_to_fossilize)
    cull   gain <= 0, or a negative ablation (a veto), or accuracy lost since germination
    else   judge again `LAST_LOOK - FIRST_LOOK` epochs later, then keep or cull

A seed is not kept if its gain or the standard error was not measured, or its ablation is not
finite.  An ablation of None is no veto.
"""

import math
from dataclasses import dataclass

from esper.contracts.checks import require
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState
from esper.contracts.stage import BLENDED, LIVE, SeedStage
from esper.policy.base import Rules

MIN_GAIN = 0.005
"""Relative gain over the reference that a kept seed must exceed."""

FIRST_LOOK, LAST_LOOK = 1, 4
"""Epochs in PROBATIONARY at which a seed is judged."""


@dataclass(frozen=True, kw_only=True)
class VerdictRules(Rules):
    """When a seed is kept or culled; the fields are keys of `policy`.

    cull_if_accuracy_drops_by: a larger drop of validation accuracy since germination culls a seed;
        0.02 is 2 points.
    cull_after_epochs_without_improvement: epochs since germination before such a drop counts.
    min_improvement_to_fossilize: a further lower bound of the relative gain of a kept seed.
    """

    cull_if_accuracy_drops_by: float = 0.02
    cull_after_epochs_without_improvement: int = 5
    min_improvement_to_fossilize: float = 0.0

    def __post_init__(self) -> None:
        drop, least = self.cull_if_accuracy_drops_by, self.min_improvement_to_fossilize
        epochs = self.cull_after_epochs_without_improvement
        require(0 <= drop <= 1, "policy.cull_if_accuracy_drops_by", "in [0, 1]", drop)
        require(epochs >= 1, "policy.cull_after_epochs_without_improvement", ">= 1", epochs)
        require(0 <= least < 1, "policy.min_improvement_to_fossilize", "in [0, 1)", least)
        super().__post_init__()


def judge(observation: Observation, rules: VerdictRules) -> list[Decision]:
    """Return the verdicts that are due on live seeds, in order of slots and seeds."""
    decisions = (harm(seed, rules) or verdict(seed, rules) for seed in observation.live_seeds)
    return [decision for decision in decisions if decision is not None]


def harm(seed: SeedState, rules: VerdictRules) -> Decision | None:
    """Return a cull if accuracy dropped since a blended seed germinated, else None."""
    age, improvement = seed.epochs_since_germination, seed.improvement
    if seed.stage not in BLENDED & LIVE or age is None or improvement is None:
        return None
    drop, patience = rules.cull_if_accuracy_drops_by, rules.cull_after_epochs_without_improvement
    if age < patience or not improvement < -drop:
        return None
    reason = (
        f"accuracy {improvement:+.4g} since germination {age} epochs ago "
        f"(limit -{drop:g} after {patience})"
    )
    return _decision(DecisionKind.CULL, seed, reason)


def verdict(seed: SeedState, rules: VerdictRules) -> Decision | None:
    """Return the verdict on a seed in PROBATIONARY, None if none is due this epoch."""
    is_last = seed.epochs_in_stage >= LAST_LOOK
    is_due = is_last or seed.epochs_in_stage == FIRST_LOOK
    if seed.stage is not SeedStage.PROBATIONARY or not is_due:
        return None
    useless = _useless(seed)
    if useless is not None:
        return _decision(DecisionKind.CULL, seed, useless)
    doubt = _doubt(seed, rules)
    if doubt is None:
        reason = f"gain {seed.gain:.4g} > {_bar(seed, rules)[1]}"
        return _decision(DecisionKind.FOSSILIZE, seed, reason)
    if is_last:
        return _decision(DecisionKind.CULL, seed, f"{doubt}, at the last look")
    epochs = LAST_LOOK - FIRST_LOOK
    return _decision(DecisionKind.WAIT, seed, f"{doubt}: look once more, {epochs} epochs longer")


def _useless(seed: SeedState) -> str | None:
    """Return why the seed is culled without a second look, None if it is not."""
    if seed.ablation is not None and seed.ablation < 0:
        return f"ablation {seed.ablation:.4g} < 0 is a veto"
    if seed.gain is not None and math.isfinite(seed.gain) and seed.gain <= 0:
        return f"gain {seed.gain:.4g} <= 0"
    return None


def _doubt(seed: SeedState, rules: VerdictRules) -> str | None:
    """Return why the seed is not kept yet, None if it is kept."""
    if seed.gain is None or not math.isfinite(seed.gain):
        return "gain was not measured"
    if seed.gain_error is None or not math.isfinite(seed.gain_error):
        return "the standard error of the gain was not measured"
    if seed.ablation is not None and not math.isfinite(seed.ablation):
        return f"ablation is {seed.ablation}"
    bar, words = _bar(seed, rules)
    return None if seed.gain > bar else f"gain {seed.gain:.4g} <= {words}"


def _bar(seed: SeedState, rules: VerdictRules) -> tuple[float, str]:
    """Return the gain that the seed must exceed, as a number and in words."""
    assert seed.gain_error is not None, "called only for measured gains"
    parts = [MIN_GAIN, seed.gain_error]
    if rules.min_improvement_to_fossilize > 0:
        parts.append(rules.min_improvement_to_fossilize)
    return max(parts), f"max({', '.join(f'{part:.4g}' for part in parts)})"


def _decision(kind: DecisionKind, seed: SeedState, reason: str) -> Decision:
    return Decision(kind=kind, slot=seed.slot, seed=seed.seed, reason=reason)
