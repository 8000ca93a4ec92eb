"""Grows where a graph network, trained over thousands of growth runs, ranks a germination first.

The network starts from the gain model: an offer's rank is its cautious net gain plus a correction
that message passing along the data flow of the host has learned.
"""

from dataclasses import dataclass
from typing import ClassVar

from esper.policy.learned_rules import SHIPPED, LearnedRules


@dataclass(frozen=True, kw_only=True)
class GNN(LearnedRules):
    """Grows by a graph network."""

    kind: ClassVar[str] = "gnn"

    pretrained: str | None = SHIPPED
