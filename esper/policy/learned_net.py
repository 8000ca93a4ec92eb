"""The networks of learned policies: new ones, and those of files."""

import torch

from esper.contracts.errors import ConfigError
from esper.learning.gain_model import GainModel
from esper.learning.options import NetShape
from esper.policy.learned_rules import LearnedRules
from esper.policy.networks.net_file import LearnedNet, NetConfig, load_net
from esper.policy.networks.shape import InputSizes
from esper.probe.rng_state import RngState, restored
from esper.signals.features import Feature
from esper.signals.gain_features import FEATURES
from esper.signals.graph import EdgeFeature, RunFeature
from esper.signals.node_features import NodeFeature
from esper.signals.slot_features import SlotFeature

SIZES = InputSizes(
    run=len(RunFeature) + len(Feature),
    node=len(NodeFeature) + len(SlotFeature),
    edge=len(EdgeFeature),
    offer=len(FEATURES),
)
"""Columns of a situation."""


def untrained(config: NetConfig, rng_seed: int) -> LearnedNet:
    """Return a new network, whose numbers a seed draws."""
    with restored(RngState.now()):
        torch.manual_seed(rng_seed)
        return LearnedNet(config, config.build().eval())


def learned_net(rules: LearnedRules, model: GainModel, rng_seed: int) -> LearnedNet:
    """Return the network of a policy; a seed draws the numbers of an untrained one.

    Raises:
        ConfigError: if its files cannot be read, or it cannot state its uncertainty.
    """
    if model.names != FEATURES:
        raise ConfigError(
            f"policy.path: policy={rules.kind} needs a gain model of all {len(FEATURES)} features, "
            f"{rules.path} reads {len(model.names)}"
        )
    if rules.pretrained is None:
        learned = untrained(config_of(rules), rng_seed)
    else:
        learned = load_net(rules.pretrained, rules.kind, SIZES, model.digest)
    if rules.uncertainty == "dropout" and not learned.spreads:
        raise ConfigError(
            "policy.uncertainty=dropout needs a network that was trained with learning.dropout > "
            "0; this one was not"
        )
    return learned


def config_of(
    rules: LearnedRules, shape: NetShape | None = None, dropout: float = 0.0
) -> NetConfig:
    """Return the configuration of a new network."""
    return NetConfig(
        kind=rules.kind,
        sizes=SIZES,
        shape=shape or NetShape(hidden=rules.hidden),
        dropout=dropout,
        blind_from=len(NodeFeature),
        reads_health=rules.reads_health,
    )
