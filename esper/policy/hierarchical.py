"""Grows when one level of a graph network says so, where and with what the other level says."""

from dataclasses import dataclass
from typing import ClassVar

from esper.policy.learned_rules import LearnedRules


@dataclass(frozen=True, kw_only=True)
class Hierarchical(LearnedRules):
    """Grows by a graph network of two levels: when, and then which slot and what."""

    kind: ClassVar[str] = "hierarchical"
