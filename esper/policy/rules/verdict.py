"""Judge live seeds at their looks: keep, cull, or look again.  The same for all policies.

    priced gain = gain - shown * price * log2(1 + added FLOPs / present FLOPs)
    least       = max(attribution.min_gain, min_improvement_to_fossilize)
    confidence  = Phi((priced gain - least) / standard error of the gain)

    keep   priced gain > max(the look's bar, least) and confidence >= confidence_to_fossilize
    cull   gain <= 0, or any at the last look; accuracy lost since germination; a gradient that
           stays 0 or not finite
    else   wait for the next look

The bar is the larger of `attribution.min_gain` and `attribution.standard_errors` of the gain.
The confidence is the probability that the priced gain is above the least one, if its error is
normal with the cumulative distribution Phi; that of a cull for its gain is 1 less this.
`shown` is the share of a lasting gain that the method of attribution shows, so that prices mean
the same with every method.  A seed without a measured gain is not kept.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

from esper.contracts.checks import require
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import Prospect, SeedState
from esper.contracts.stage import BLENDED, LIVE, SeedStage
from esper.policy.base import Rules

UNHEALTHY_EPOCHS = 2
"""Epochs in a row with an unhealthy gradient that cull a blended seed."""


@dataclass(frozen=True, kw_only=True)
class VerdictRules(Rules):
    """When a seed is kept or culled; the fields are keys of `policy`.

    price: relative gain that a doubling of the network's FLOPs must bring, in [0, 1].
    cull_if_accuracy_drops_by: a larger drop of validation accuracy since germination culls a seed
        if it is also more than two standard errors; 0.02 is 2 points.
    cull_after_epochs_without_improvement: epochs since germination before such a drop counts.
    min_improvement_to_fossilize: a further lower bound of the relative gain of a kept seed.
    confidence_to_fossilize: least confidence of a kept seed, in [0, 1].
    """

    price: float = 0.01
    cull_if_accuracy_drops_by: float = 0.02
    cull_after_epochs_without_improvement: int = 5
    min_improvement_to_fossilize: float = 0.0
    confidence_to_fossilize: float = 0.8

    def __post_init__(self) -> None:
        drop, least = self.cull_if_accuracy_drops_by, self.min_improvement_to_fossilize
        epochs = self.cull_after_epochs_without_improvement
        require(0 <= self.price <= 1, "policy.price", "in [0, 1]", self.price)
        require(0 <= drop <= 1, "policy.cull_if_accuracy_drops_by", "in [0, 1]", drop)
        require(epochs >= 1, "policy.cull_after_epochs_without_improvement", ">= 1", epochs)
        require(0 <= least < 1, "policy.min_improvement_to_fossilize", "in [0, 1)", least)
        sure = self.confidence_to_fossilize
        require(0 <= sure <= 1, "policy.confidence_to_fossilize", "in [0, 1]", sure)
        super().__post_init__()


def judge(observation: Observation, rules: VerdictRules) -> list[Decision]:
    """Return the verdicts that are due on live seeds, in order of slots and seeds."""
    decisions = (judge_seed(seed, rules) for seed in observation.live_seeds)
    return [decision for decision in decisions if decision is not None]


def judge_seed(seed: SeedState, rules: VerdictRules) -> Decision | None:
    """Return the verdict that is due on a live seed, None if none is."""
    return harm(seed, rules) or verdict(seed, rules)


def harm(seed: SeedState, rules: VerdictRules) -> Decision | None:
    """Return a cull if a blended seed lost accuracy or its gradient stays unhealthy, else None."""
    if seed.stage not in BLENDED & LIVE:
        return None
    if seed.unhealthy_epochs >= UNHEALTHY_EPOCHS:
        reason = f"its gradient was 0 or not finite for {seed.unhealthy_epochs} epochs"
        return _decision(DecisionKind.CULL, seed, reason)
    change, error = seed.improvement, seed.improvement_error
    if seed.look is None or change is None or error is None:
        return None
    limit = max(rules.cull_if_accuracy_drops_by, 2 * error)
    patience, age = rules.cull_after_epochs_without_improvement, seed.look.age
    # A comparison with NaN is false, so that an unknown change is no harm.
    if age < patience or not change < -limit:
        return None
    reason = f"accuracy {change:+.4g} at age {age} < -{limit:.4g} (from age {patience} on)"
    return _decision(DecisionKind.CULL, seed, reason, _above(-change, 0.0, error))


def verdict(seed: SeedState, rules: VerdictRules) -> Decision | None:
    """Return the verdict on a seed at a look in PROBATIONARY, None if no look is due."""
    if seed.stage is not SeedStage.PROBATIONARY or seed.look is None:
        return None
    gain = priced_gain(seed, rules.price)
    least = max(seed.look.least, rules.min_improvement_to_fossilize)
    bar = max(seed.look.bar, least)
    when = f"at age {seed.look.age}"
    if gain is None or seed.gain is None or seed.gain_error is None:
        kind = DecisionKind.CULL if seed.look.is_last else DecisionKind.WAIT
        return _decision(kind, seed, f"gain was not measured {when}", 0.5)
    words = _words(seed, gain, rules.price)
    sure = _above(gain, least, seed.gain_error)
    is_sure = sure >= rules.confidence_to_fossilize
    if gain > bar and is_sure:
        return _decision(DecisionKind.FOSSILIZE, seed, f"{words} > {bar:.4g} {when}", sure)
    if seed.gain <= 0:
        return _decision(DecisionKind.CULL, seed, f"gain {seed.gain:.4g} <= 0 {when}", 1 - sure)
    short = f"{words} <= {bar:.4g} {when}"
    if gain > bar:
        wanted = rules.confidence_to_fossilize
        short = f"{words} {when}: confidence {sure:.3g} < {wanted:g} that it is above {least:.4g}"
    if seed.look.is_last:
        limit = " that safety.max_cost pays for" if seed.look.is_unpaid else ""
        return _decision(DecisionKind.CULL, seed, f"{short}, the last look{limit}", 1 - sure)
    return _decision(DecisionKind.WAIT, seed, f"{short}: look again later", sure)


def would_keep(prospect: Prospect, seed: SeedState, rules: VerdictRules) -> bool:
    """Return whether a kernel that gains what is expected of a prospect is kept at a last look.

    Its gain has the standard error of that of `seed`, in whose place it would be.
    """
    assert seed.look is not None, "a seed is replaced at a look"
    look = replace(seed.look, is_last=True, is_unpaid=False, bar=seed.look.last_bar)
    gain, flops = prospect.expected_gain, prospect.added_flops
    foreseen = verdict(replace(seed, gain=gain, added_flops=flops, look=look), rules)
    return foreseen is not None and foreseen.kind is DecisionKind.FOSSILIZE


def flops_price(price: float, shown: float, added_flops: float) -> float:
    """Return the gain, as shown, that a kernel must bring for its FLOPs.

    Args:
        price: gain that a doubling must bring.
        shown: share of a lasting gain that is shown.
        added_flops: FLOPs of the kernel, relative to those of the network without it.
    """
    return shown * price * math.log2(1 + added_flops)


def priced_gain(seed: SeedState, price: float) -> float | None:
    """Return the gain less the price of the seed's FLOPs; None if it was not measured."""
    assert seed.look is not None, "a price is taken at a look"
    if seed.gain is None or seed.gain_error is None:
        return None
    gain = seed.gain - flops_price(price, seed.look.shown, seed.added_flops)
    return gain if math.isfinite(gain) and math.isfinite(seed.gain_error) else None


def _words(seed: SeedState, gain: float, price: float) -> str:
    """Return a gain in words, with its price if it has one."""
    if gain == seed.gain:
        return f"gain {gain:.4g}"
    added = f"{100 * seed.added_flops:.3g} % more FLOPs"
    return f"gain {seed.gain:.4g}, {gain:.4g} after a price of {price:g} a doubling ({added}),"


def _above(value: float, least: float, error: float) -> float:
    """Return the probability that a value with a standard error is above `least`."""
    if error <= 0:
        return float(value > least)
    return NormalDist().cdf((value - least) / error)


def _decision(
    kind: DecisionKind, seed: SeedState, reason: str, confidence: float = 1.0
) -> Decision:
    is_kept = kind is DecisionKind.FOSSILIZE
    return Decision(
        kind=kind,
        slot=seed.slot,
        seed=seed.seed,
        reason=reason,
        confidence=confidence,
        risk=seed.risk if is_kept else 0.0,
    )
