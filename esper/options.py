"""The table of all options, and the options that a run and a `Grower` share.

The fields of an option's class are the keys of its group.  `conf/<group>/<option>.yaml` sets them,
and the class checks them.  This module imports no torch.
"""

from dataclasses import dataclass, field
from typing import Any

from esper.attribution.options import Attribution
from esper.blueprint.options import Blueprints
from esper.data.cifar10 import CIFAR10
from esper.data.digits import Digits
from esper.data.spirals import Spirals
from esper.data.text import Text
from esper.growth.options import Growth, ReadOut
from esper.kernels.options import Kernels, RecoveryOptions
from esper.logger.none import NoLogger
from esper.logger.redis import Redis as RedisLogger
from esper.logger.tensorboard import Tensorboard
from esper.logger.wandb import Wandb
from esper.model.cnn import CNN
from esper.model.custom import Custom
from esper.model.mlp import MLP
from esper.model.resnet import ResNet
from esper.model.transformer import Transformer
from esper.orchestrator.auto import Auto
from esper.orchestrator.diversify import Diversify
from esper.orchestrator.ensemble import Ensemble
from esper.orchestrator.replace import Replace
from esper.orchestrator.specialize import Specialize
from esper.policy.actor_critic import ActorCritic
from esper.policy.gnn import GNN
from esper.policy.heuristic import Heuristic
from esper.policy.hierarchical import Hierarchical
from esper.policy.never import Never
from esper.policy.planner import Planner
from esper.policy.random import Random as RandomPolicy
from esper.policy.schedule import Schedule
from esper.reward.gain import Gain
from esper.reward.multi_metric import MultiMetric
from esper.reward.sparse import Sparse
from esper.safety.options import GovernorOptions, Safety
from esper.signals.options import Signals
from esper.store.memory import Memory
from esper.store.redis import Redis as RedisStore
from esper.store.snapshot import Snapshot
from esper.store.sqlite import SQLite
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.exp3 import Exp3
from esper.strategy.fixed import Fixed
from esper.strategy.linthompson import LinThompson
from esper.strategy.linucb import LinUCB
from esper.strategy.neural import Neural
from esper.strategy.performance_weighted import PerformanceWeighted
from esper.strategy.random import Random as RandomStrategy
from esper.strategy.round_robin import RoundRobin
from esper.strategy.sliding_ucb import SlidingUCB
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import Viability
from esper.training.options import Training

OPTIONS: dict[str, dict[str, type[Any]]] = {
    "data": {"digits": Digits, "spirals": Spirals, "text": Text, "cifar10": CIFAR10},
    "model": {
        "mlp": MLP,
        "cnn": CNN,
        "resnet": ResNet,
        "transformer": Transformer,
        "custom": Custom,
    },
    "blueprint": {"standard": Blueprints, "light": Blueprints, "all": Blueprints},
    "strategy": {
        "ucb": UCB,
        "thompson": Thompson,
        "epsilon_greedy": EpsilonGreedy,
        "performance_weighted": PerformanceWeighted,
        "sliding_ucb": SlidingUCB,
        "exp3": Exp3,
        "linucb": LinUCB,
        "linthompson": LinThompson,
        "neural": Neural,
        "fixed": Fixed,
        "random": RandomStrategy,
        "round_robin": RoundRobin,
    },
    "orchestrator": {
        "auto": Auto,
        "replace": Replace,
        "diversify": Diversify,
        "specialize": Specialize,
        "ensemble": Ensemble,
    },
    "policy": {
        "heuristic": Heuristic,
        "planner": Planner,
        "gnn": GNN,
        "hierarchical": Hierarchical,
        "actor_critic": ActorCritic,
        "never": Never,
        "random": RandomPolicy,
        "schedule": Schedule,
    },
    "reward": {"multi_metric": MultiMetric, "gain": Gain, "sparse": Sparse},
    "training": {"default": Training},
    "logger": {"wandb": Wandb, "tensorboard": Tensorboard, "redis": RedisLogger, "none": NoLogger},
    "store": {"memory": Memory, "sqlite": SQLite, "redis": RedisStore, "snapshot": Snapshot},
}


def option_name(group: str, option: object) -> str:
    """Return the name of an option in the table of its group.

    Raises:
        ValueError: if the group has no option of that class.
    """
    for name, kind in OPTIONS[group].items():
        if type(option) is kind:
            return name
    allowed = ", ".join(OPTIONS[group])
    raise ValueError(f"{group} must be one of {allowed}, got {option!r}")


@dataclass(frozen=True)
class ControlOptions:
    """Options of the control step: keys of a run's configuration, and arguments of `Grower`.

    `Any` stands for an option of the group in `OPTIONS`.
    """

    blueprint: Any = field(default_factory=Blueprints)
    strategy: Any = field(default_factory=UCB)
    orchestrator: Any = field(default_factory=Auto)
    policy: Any = field(default_factory=Heuristic)
    reward: Any = field(default_factory=MultiMetric)
    store: Any = field(default_factory=Memory)
    viability: Viability = field(default_factory=Viability)
    signals: Signals = field(default_factory=Signals)
    growth: Growth = field(default_factory=Growth)
    attribution: Attribution = field(default_factory=Attribution)
    run: ReadOut = field(default_factory=ReadOut)
    kernels: Kernels = field(default_factory=Kernels)
    safety: Safety = field(default_factory=Safety)
    governor: GovernorOptions = field(default_factory=GovernorOptions)
    recovery: RecoveryOptions = field(default_factory=RecoveryOptions)
