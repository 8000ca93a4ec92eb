"""Rules that keep or cull a kernel by what its trial showed, and how well each does.

A rule is applied to recorded trials (rows of `experiments.gate_trials` with true gains).  At each
look, in order:

    keep   if shown - shrink * price * log2(1 + added FLOPs / present FLOPs) > bar,
           bar = max(min_gain, errors * standard error of shown)
    cull   if shown <= 0, or at the last look
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean, median
from typing import Any

from experiments.stats import Interval, rate

Row = Mapping[str, Any]

GOOD = 0.03
"""True gain from which a kernel should be kept."""


@dataclass(frozen=True)
class Rule:
    """When a kernel is kept.

    method: of attribution; the rule reads the rows of this method only.
    looks: ages of the looks.
    is_pooled: whether gain and error are those over the looks so far, not those of the look alone.
    is_sequential: whether look k of n asks for sqrt(n / k) times as many errors, as the product.
    price: least true gain that a doubling of the FLOPs must bring.
    shrink: the part of a true gain that the method shows.
    """

    name: str
    method: str
    looks: tuple[int, ...]
    min_gain: float
    errors: float
    is_pooled: bool = True
    is_sequential: bool = True
    price: float = 0.0
    shrink: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """Whether a kernel is kept, and its age then."""

    kept: bool
    age: int


def judge(rule: Rule, row: Row) -> Verdict:
    """Return the verdict of a rule; a kernel that was not measured at a look is culled there."""
    growth = row["added_flops"] / row["costs"]["host_flops"]
    toll = rule.shrink * rule.price * math.log2(1 + growth)
    for number, age in enumerate(rule.looks, start=1):
        look = look_of(row, age, is_pooled=rule.is_pooled)
        if look is None:
            return Verdict(False, age)
        shown, error = look
        factor = math.sqrt(len(rule.looks) / number) if rule.is_sequential else 1.0
        if shown - toll > max(rule.min_gain, factor * rule.errors * error):
            return Verdict(True, age)
        if shown <= 0:
            return Verdict(False, age)
    return Verdict(False, rule.looks[-1])


def look_of(row: Row, age: int, *, is_pooled: bool) -> tuple[float, float] | None:
    """Return the shown gain and its standard error at an age, None if it was not measured."""
    found = row["looks"].get(str(age))
    if found is None:
        return None
    gain, error = found[:2] if is_pooled else found[-2:]
    return float(gain), float(error)


def scored(rule: Rule, rows: Iterable[Row]) -> dict[str, Any]:
    """Return how well a rule does; None stands for what no row tells.

    useless_kept, good_kept: rates with Wilson intervals; good are those of true gain > `GOOD`.
    true_gain_kept: share of the good kernels' true gain that is kept.
    mean_flops_share, mean_processor_share: mean cost of a kernel's trial until its verdict, as
        shares of the host's whole run; the kernels of an ensemble share the cost of their trial.
    median_flops_share, median_processor_share: the median.
    """
    own = [row for row in rows if row["method"] == rule.method]
    verdicts = [judge(rule, row) for row in own]
    useless = [v.kept for row, v in zip(own, verdicts, strict=True) if row["is_useless"]]
    pairs = zip(own, verdicts, strict=True)
    good = [(row["true_gain"], v.kept) for row, v in pairs if is_good(row)]
    total = sum(gain for gain, _ in good)
    kept = sum(gain for gain, is_kept in good if is_kept)
    return {
        "rule": rule.name,
        "price": rule.price,
        "shrink": rule.shrink,
        "num_useless": len(useless),
        "num_good": len(good),
        "useless_kept": _rate(useless),
        "good_kept": _rate([is_kept for _, is_kept in good]),
        "true_gain_kept": kept / total if total else None,
        **{
            f"{name}_{key}": _cost(own, verdicts, key, average)
            for key in _SHARES
            for name, average in (("mean", mean), ("median", median))
        },
    }


_SHARES = ("flops_share", "processor_share")


def is_good(row: Row) -> bool:
    """Return whether a kernel should be kept."""
    return not row["is_useless"] and row["true_gain"] > GOOD


def shown_against_true(
    rows: Sequence[Row], age: int, *, is_pooled: bool
) -> dict[str, float | None]:
    """Return the AUC of the gain shown at a look for a true gain > `GOOD`, and the shrink factor.

    Only rows measured at the look count.
    """
    pairs = [(look[0], row) for row in rows if (look := look_of(row, age, is_pooled=is_pooled))]
    useful = [(shown, row["true_gain"]) for shown, row in pairs if not row["is_useless"]]
    return {
        "auc": auc([shown for shown, _ in pairs], [row["true_gain"] > GOOD for _, row in pairs]),
        "shrink": slope([true for _, true in useful], [shown for shown, _ in useful]),
    }


def auc(scores: Sequence[float], is_positive: Sequence[bool]) -> float | None:
    """Return the chance that a positive scores above a negative, ties a half; None without both."""
    positive = [s for s, yes in zip(scores, is_positive, strict=True) if yes]
    negative = [s for s, yes in zip(scores, is_positive, strict=True) if not yes]
    if not positive or not negative:
        return None
    wins = sum((p > n) + (p == n) / 2 for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


def slope(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return the slope of the least-squares line of ys on xs through zero; None if all xs are 0."""
    squares = sum(x * x for x in xs)
    return sum(x * y for x, y in zip(xs, ys, strict=True)) / squares if squares else None


def table(
    rows: Sequence[Row], rules: Sequence[Rule], prices: Sequence[float], single: Sequence[Row]
) -> list[Any]:
    """Return the scores of every rule at every price; rules without rows are left out.

    Args:
        rows: what the rules are applied to.
        rules: at price 0.
        prices: the prices.
        single: trials of one kernel, which give each method's shrink factor (at least 0; 1 if they
            do not tell).
    """
    scores: list[Any] = []
    for rule in rules:
        own, reference = (
            [row for row in each if row["method"] == rule.method] for each in (rows, single)
        )
        if not own:
            continue
        shown = partial(shown_against_true, age=rule.looks[-1], is_pooled=rule.is_pooled)
        measured = shown(reference)["shrink"]
        shrink = 1.0 if measured is None else max(0.0, measured)
        order = {"auc": shown(own)["auc"]}
        priced = [replace(rule, price=price, shrink=shrink) for price in prices]
        scores += [{**scored(each, own), **order} for each in priced]
    return scores


def split_by(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Return the rows by a key, and all of them under `all`."""
    parts: dict[str, list[Row]] = {"all": list(rows)}
    for row in rows:
        parts.setdefault(key(row), []).append(row)
    return parts


def _cost(
    rows: Sequence[Row],
    verdicts: Sequence[Verdict],
    key: str,
    average: Callable[[Sequence[float]], float],
) -> float | None:
    pairs = zip(rows, verdicts, strict=True)
    costs = [row["costs"][key][str(v.age)] / row["ensemble"] for row, v in pairs]
    return average(costs) if costs else None


def _rate(kept: Sequence[bool]) -> list[float] | None:
    if not kept:
        return None
    found: Interval = rate(sum(kept), len(kept))
    return [found.value, found.low, found.high]
