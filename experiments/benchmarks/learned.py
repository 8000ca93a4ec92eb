"""Decisions of learned policies: their time, and whether any is invalid whatever they observe.

Uncertainty is that of ten passes with dropout.  Networks and gain models are random, so that they
find something to grow; observations are those of `experiments.benchmarks.planner`.
"""

import statistics
from dataclasses import replace
from random import Random
from time import perf_counter
from typing import Any

import torch

from esper.learning.situation import Situation, collate
from esper.policy.gnn import GNN
from esper.policy.hierarchical import Hierarchical
from esper.policy.learned import LearnedPolicy, build_with
from esper.policy.learned_net import config_of, untrained
from esper.policy.learned_rules import LearnedRules
from esper.signals.gain_features import offers_of
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.planner import (
    CAUTIONS,
    NUM_OBSERVATIONS,
    PRICES,
    ROUNDS,
    decision_times,
    fuzz,
    some_model,
    wide_observation,
    wrong_decisions,
)

DROPOUT = 0.1
EAGER = -1e4
"""Rank of waiting with which a network always grows."""
TOGETHER = 16
SLOTS = 12


def learned() -> list[Figure]:
    """Return the time of a decision, alone and together, and the number of invalid ones."""
    policy = some_policy(Random(0), GNN(pretrained=None, uncertainty="dropout"))
    times = decision_times("gnn", policy, "10 passes with dropout")
    together = Figure(
        name=f"gnn/{TOGETHER}_situations",
        value=together_ratio(policy),
        unit="times one",
        goal=4.0,
        reference=f"judged as one batch, {SLOTS} slots",
    )
    tally = fuzz(Random(0), NUM_OBSERVATIONS, drawn)
    return [*times, together, *wrong_decisions("gnn", tally)]


def drawn(rng: Random) -> LearnedPolicy:
    """Return a policy with random options, a random model and a random network."""
    kind = rng.choice([GNN, Hierarchical])
    rules = kind(pretrained=None, price=rng.choice(PRICES), caution=rng.choice(CAUTIONS))
    return some_policy(rng, rules, rng.choice([EAGER, 0.0]))


def some_policy(rng: Random, rules: LearnedRules, wait: float = EAGER) -> LearnedPolicy:
    """Return a policy with a random model and network, and the rank of waiting."""
    learned = untrained(config_of(rules, dropout=DROPOUT), 0)
    net: Any = learned.net
    generator = torch.Generator().manual_seed(rng.randrange(2**32))
    with torch.no_grad():
        for head in (net.offer, net.risk):
            weight = head.last.weight
            weight.copy_(torch.randn(weight.shape, generator=generator))
        net.wait.last.bias.fill_(wait)
    known = tuple(sorted(rng.uniform(0, 2) for _ in range(100)))
    return build_with(rules, some_model(rng), replace(learned, spreads=known))


def together_ratio(policy: LearnedPolicy) -> float:
    """Return the time to judge some situations together, relative to that of one."""
    seen = wide_observation(SLOTS)
    policy.decide(seen)
    situation = policy.situation(seen, policy.forecasts(offers_of(seen, seen.slots)))
    return _judged_ms(policy, [situation] * TOGETHER) / _judged_ms(policy, [situation])


@torch.no_grad()
def _judged_ms(policy: LearnedPolicy, situations: list[Situation]) -> float:
    spans = []
    for _ in range(ROUNDS):
        began = perf_counter()
        policy.judge(collate(situations))
        spans.append((perf_counter() - began) * 1e3)
    return statistics.median(spans)
