"""Options of safety: limits on decisions and plans, and when the governor rolls a network back."""

import math
from dataclasses import dataclass

from esper.contracts.checks import require, require_types


@dataclass(frozen=True)
class Safety:
    """Limits on the changes of any policy.

    min_confidence: least confidence of keeping a kernel, in [0, 1].
    max_uncertainty: most epistemic uncertainty of a learned policy, which must state it: the share
        of known states in which the policy was more certain, in [0, 1].
    max_adaptations_per_epoch: most slots adapted in an epoch.
    max_changes_per_epoch: most seeds changed in an epoch; culls count, but always pass.
    max_live_seeds: most live seeds of the whole network, None for no limit.
    max_events: most growth events of the run, each the germinations of one plan; None for no limit.
    max_risk: most risk of a decision and of a blueprint that germinates, in [0, 1].
    max_cost: most FLOPs of the run, trials included, relative to those of its network without open
        trials trained for all epochs; >= 1.  None for 1.3, and 2.0 with `attribution.method=twin`.
    parameter_budget: most parameters of the network, None for no limit.
    memory_budget_mb: most MiB of the network and its optimizer, None for no limit.

    Raises:
        ValueError: if a limit is out of its range.
    """

    min_confidence: float = 0.75
    max_uncertainty: float = 0.9
    max_adaptations_per_epoch: int = 2
    max_changes_per_epoch: int = 64
    max_live_seeds: int | None = None
    max_events: int | None = None
    max_risk: float = 0.9
    max_cost: float | None = None
    parameter_budget: int | None = None
    memory_budget_mb: float | None = None

    def __post_init__(self) -> None:
        require_types(self, "safety")
        for key in ("min_confidence", "max_uncertainty", "max_risk"):
            share = getattr(self, key)
            require(0 <= share <= 1, f"safety.{key}", "in [0, 1]", share)
        for key in ("max_adaptations_per_epoch", "max_changes_per_epoch"):
            count = getattr(self, key)
            require(count >= 0, f"safety.{key}", ">= 0", count)
        for key in ("max_live_seeds", "max_events"):
            most = getattr(self, key)
            require(most is None or most >= 0, f"safety.{key}", ">= 0 or null", most)
        cost = self.max_cost
        valid = cost is None or 1 <= cost < math.inf
        require(valid, "safety.max_cost", ">= 1 and finite, or null", cost)
        for key in ("parameter_budget", "memory_budget_mb"):
            budget = getattr(self, key)
            require(budget is None or budget > 0, f"safety.{key}", "> 0 or null", budget)

    def events_left(self, num_events: int) -> int | None:
        """Return how many growth events a run may still have after some; None without a limit."""
        return None if self.max_events is None else max(0, self.max_events - num_events)


@dataclass(frozen=True)
class GovernorOptions:
    """When losses call for a rollback, and how many rollbacks end growth.

    enabled: False switches the governor off.
    rise: > 1, multiple of the median clean loss above which a loss is suspect.
    window: number of last clean losses in the median.
    sustained: number of suspect evaluations in a row that call for a rollback.
    max_rollbacks: number of rollbacks that ends growth.
    armed_below: share of chance level, in (0, 1]; a finite loss is never suspect before the median
        of the losses was below it.
    floor: share of chance level, in [0, 1), up to which no loss is suspect, because tiny losses
        vary by large factors.

    Raises:
        ValueError: if an option is out of its range.
    """

    enabled: bool = True
    rise: float = 3.0
    window: int = 10
    sustained: int = 2
    max_rollbacks: int = 3
    armed_below: float = 0.7
    floor: float = 0.1

    def __post_init__(self) -> None:
        require_types(self, "governor")
        require(1 < self.rise < math.inf, "governor.rise", "> 1 and finite", self.rise)
        for key in ("window", "sustained", "max_rollbacks"):
            count = getattr(self, key)
            require(count >= 1, f"governor.{key}", "a whole number >= 1", count)
        armed_below, floor = self.armed_below, self.floor
        require(0 < armed_below <= 1, "governor.armed_below", "in (0, 1]", armed_below)
        require(0 <= floor < 1, "governor.floor", "in [0, 1)", floor)
