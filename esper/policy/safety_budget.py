"""What a network may take of parameters and memory, and what would be more than that.

A change that adds nothing is within every budget, also where the network is over it already.
"""

import math
from typing import TYPE_CHECKING

from esper.contracts.plan import KernelCost
from esper.policy.safety_review import Usage

if TYPE_CHECKING:
    from esper.policy.safety import Safety


def parameters_over(limits: "Safety", usage: Usage, more: int, how: str = "") -> str | None:
    """Return why so many more parameters are too many, None if they are not.

    `how` says how sure `more` is, as in "at least ".
    """
    budget, after = limits.parameter_budget, usage.parameters + more
    if budget is None or more <= 0 or after <= budget:
        return None
    return f"{usage.parameters} parameters, {how}{after} afterwards (budget {budget})"


def memory_over(limits: "Safety", usage: Usage, more: float, how: str = "") -> str | None:
    """Return why so much more memory is too much, or that it is not known; None if neither."""
    budget = limits.memory_budget_mb
    if budget is None:
        return None
    if usage.memory_mb is None or not math.isfinite(usage.memory_mb):
        return "memory was not measured"
    after = usage.memory_mb + more
    if more <= 0 or after <= budget:
        return None
    return f"{usage.memory_mb:.4g} MB, {how}{after:.4g} MB afterwards (budget {budget:g})"


def excess(limits: "Safety", usage: Usage, cost: KernelCost) -> str | None:
    """Return why one more kernel is more than a budget holds, None if it fits."""
    too_many = parameters_over(limits, usage, cost.parameters)
    return too_many or memory_over(limits, usage, cost.memory_mb)
