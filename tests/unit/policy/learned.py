"""Learned policies whose networks a test writes down."""

from typing import Any

import torch

from esper.contracts.decision import Decision, DecisionKind
from esper.learning.situation import Batch, Scores
from esper.policy.learned import LearnedPolicy, build_with
from esper.policy.learned_net import config_of, untrained
from esper.policy.learned_rules import LearnedRules
from esper.policy.networks.judge_net import JudgeNet
from tests.gain_models import full_model


def learned_policy(rules: LearnedRules, bias: float = 0.0, **weights: float) -> LearnedPolicy:
    """Return a policy with an untrained network beside a gain model of given weights."""
    learned = untrained(config_of(rules), 0)
    return build_with(rules, full_model(bias, **weights), learned)


class Fixed(JudgeNet):
    """Judges every situation alike: ranks of waiting and of the offers, in their order."""

    def __init__(self, *ranks: float, risk: float = 0.0) -> None:
        super().__init__()
        self.ranks, self.risk = ranks, risk

    def scores(self, batch: Batch, generator: Any = None) -> Scores:
        """Return the ranks as scores."""
        wait, *offers = torch.tensor(self.ranks)
        wait = wait + 0 * batch.nodes.sum()  # a rank has a gradient, as with any network
        known = torch.stack(offers)[: len(batch.values)]  # of a situation with fewer, the first
        risks = torch.full_like(batch.values, self.risk)
        return Scores(wait.expand(len(batch.run)), known, torch.zeros(len(batch.run)), risks)


def grown(decisions: list[Decision]) -> list[tuple[str | None, str]]:
    """Return slot and blueprint of each request to grow."""
    return [
        (each.slot, each.reason.split()[0]) for each in decisions if each.kind is DecisionKind.ADAPT
    ]
