"""The configuration of `esper train-policy`: its keys, their defaults, and the checks on them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from esper.contracts.checks import require
from esper.contracts.errors import ConfigError
from esper.learning.gain_fit import GainFit
from esper.logger.serialise import plain
from esper.options import option_name
from esper.policy.gain_features import FEATURES
from esper.policy.planner import Planner
from esper.store.memory import Memory

LEAST_TASKS = 4
"""Fewest tasks of a training, so that those left out can be predicted."""

_NAME = re.compile(r"[\w][\w.+=,-]*")
_READ = ("threshold", "caution")
"""Keys of the policy that the evaluation reads; the others steer runs alone."""
_FREE = ("name", "processes")
"""Keys on which the trained policy does not depend."""


@dataclass(frozen=True)
class PolicyTraining:
    """All options of a training of a policy.

    rng_seed: seed of the growth runs and of the fit, in [0, 2**32).
    tasks: number of growth tasks, >= `LEAST_TASKS`.
    first_task: index of the first one, >= 0.
    processes: number of processes that measure, >= 1.
    name: the folder under `policies/`.
    store: holds the settled trials of runs that are learned from too; `memory` holds none.
    """

    rng_seed: int = 0
    tasks: int = 300
    first_task: int = 1000
    processes: int = 1
    name: str = "planner"
    learning: GainFit = field(default_factory=GainFit)
    policy: Any = field(default_factory=Planner)
    store: Any = field(default_factory=Memory)

    def __post_init__(self) -> None:
        require(0 <= self.rng_seed < 2**32, "rng_seed", "in [0, 2**32)", self.rng_seed)
        require(self.tasks >= LEAST_TASKS, "tasks", f">= {LEAST_TASKS}", self.tasks)
        require(self.first_task >= 0, "first_task", ">= 0", self.first_task)
        require(self.processes >= 1, "processes", ">= 1", self.processes)
        require(bool(_NAME.fullmatch(self.name)), "name", "a plain folder name", repr(self.name))
        option_name("store", self.store)
        name = option_name("policy", self.policy)
        is_trained = isinstance(self.policy, Planner)
        require(is_trained, "policy", "one that can be trained (planner)", name)
        for each in fields(Planner):
            value = getattr(self.policy, each.name)
            if each.name not in _READ and value != each.default:
                raise ValueError(
                    f"policy.{each.name}={value} has no effect: it is a key of `esper train`, and "
                    f"the training reads policy.{', policy.'.join(_READ)} alone"
                )

    @property
    def policy_name(self) -> str:
        """The name of the policy, and of its files in the folder of the run."""
        return option_name("policy", self.policy)


def values_of(config: PolicyTraining) -> dict[str, Any]:
    """Return the options as plain values; the first key of a group is its option's `name`."""
    values: dict[str, Any] = plain(config)
    for group in ("policy", "store"):
        name = option_name(group, getattr(config, group))
        values[group] = {"name": name, **values[group]}
    return values


def record_of(config: PolicyTraining) -> dict[str, Any]:
    """Return the values of a run's `config.json`: the options, and the names of the features."""
    return {**values_of(config), "features": list(FEATURES)}


def deciding_values(config: PolicyTraining) -> dict[str, Any]:
    """Return the plain values of the options on which the trained policy depends."""
    return {key: value for key, value in values_of(config).items() if key not in _FREE}


def command_of(config: PolicyTraining) -> str:
    """Return the command that trains the same policy."""
    words = ["esper train-policy"]
    default = _leaves(deciding_values(PolicyTraining()))
    for key, value in _leaves(deciding_values(config)).items():
        if key.endswith(".name"):
            words.append(f"{key.removesuffix('.name')}={value}")
        elif "." not in key or default.get(key, value) != value or key == "store.path":
            words.append(f"{key}={value}")
    return " ".join(words)


def check_same(before: Mapping[str, Any], config: PolicyTraining) -> None:
    """Check that a training may be resumed under a configuration; `tasks` may be more than before.

    Args:
        before: the values of its `config.json`.
        config: the configuration now.

    Raises:
        ConfigError: naming the first key that differs, and both values.
    """
    old, new = _leaves(before), _leaves(record_of(config))
    for key in sorted(old | new, key=lambda key: (not key.endswith(".name"), key)):
        was, now = old.get(key, "not there"), new.get(key, "not there")
        if key == "tasks" and isinstance(was, int) and now >= was:
            continue
        if was != now and key not in _FREE:
            raise ConfigError(f"the run has another configuration: {key} was {was}, is {now} now")


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        is_group = isinstance(value, Mapping)
        leaves |= _leaves(value, f"{prefix}{key}.") if is_group else {f"{prefix}{key}": value}
    return leaves
