"""The configuration of `esper train-policy`: its keys, their defaults, and the checks on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from esper.contracts.checks import require
from esper.contracts.errors import ConfigError
from esper.learning.gain_fit import GainFit
from esper.learning.options import Learning
from esper.logger.none import NoLogger
from esper.logger.serialise import plain
from esper.options import option_name
from esper.policy.gain_policy import GainRules
from esper.policy.learned_rules import LearnedRules
from esper.policy.planner import Planner
from esper.signals.gain_features import FEATURES
from esper.store.memory import Memory

TRAINED = ("planner", "gnn", "hierarchical", "actor_critic")
LEAST_TASKS = 4
"""Fewest tasks of a training, so that those left out can be predicted."""

_READ = ("threshold", "caution")
"""Keys of the policy that the fit of a gain model reads; the others steer runs alone."""
_IDLE_FOR_NETS = ("price", "pretrained", "uncertainty")
"""Keys that the training of a network does not read: each task has its own price."""
_OF_FITS = tuple(each.name for each in fields(GainFit))
"""Keys of `learning` that the fit of a gain model reads; networks read the others."""
_OF_SHAPE = ("hidden", "layers", "heads")
"""Keys of `learning` that make a new network."""
_OF_STORES = ("rate", "weight_decay", "batch_size", "gradient_limit")
"""Keys of `learning` that a network reads which learns from a store."""
_OF_NETS = ("check_tasks", "start", "logger")
"""Keys that only the training of a network reads."""
_ALWAYS = ("rng_seed", "tasks", "first_task", "store.path")
"""Keys that a command names even where they have their defaults."""
_FREE = ("processes", "logger")
"""Keys on which the trained policy does not depend."""


@dataclass(frozen=True)
class PolicyTraining:
    """All options of a training of a policy.

    rng_seed: seed of the growth runs, the fit and the network, in [0, 2**32).
    tasks: number of growth tasks, >= `LEAST_TASKS`; None for 450 to fit a gain model on, and 1200
        for a network to play; 0 for a network that learns from the store alone.
    first_task: index of the first one, >= 0; None for 1000 and 2000.
    processes: number of processes that measure or play, >= 1.
    check_tasks: number of other tasks on which a network is judged at the end, >= 1.
    start: files of a network to go on from, without their endings; None for an untrained one.
    store: holds the settled trials of runs that are learned from too; `memory` holds none.
    logger: takes the numbers of each update.
    """

    rng_seed: int = 0
    tasks: int | None = None
    first_task: int | None = None
    processes: int = 1
    check_tasks: int = 24
    start: str | None = None
    learning: Learning = field(default_factory=Learning)
    policy: Any = field(default_factory=Planner)
    store: Any = field(default_factory=Memory)
    logger: Any = field(default_factory=NoLogger)

    def __post_init__(self) -> None:
        require(0 <= self.rng_seed < 2**32, "rng_seed", "in [0, 2**32)", self.rng_seed)
        least, allowed = LEAST_TASKS, f">= {LEAST_TASKS}"
        if self.trains_net:
            allowed += ", or 0 with a store to learn from"
        is_enough = self.num_tasks >= least or (
            self.tasks == 0 and self.trains_net and self.has_store
        )
        require(is_enough, "tasks", allowed, self.tasks)
        require(self.start_task >= 0, "first_task", ">= 0", self.first_task)
        require(self.processes >= 1, "processes", ">= 1", self.processes)
        require(self.check_tasks >= 1, "check_tasks", ">= 1", self.check_tasks)
        option_name("store", self.store)
        option_name("logger", self.logger)
        name = option_name("policy", self.policy)
        is_trained = isinstance(self.policy, GainRules)
        require(is_trained, "policy", f"one that can be trained ({', '.join(TRAINED)})", name)
        self._refuse_idle_keys()
        if self.trains_net and self.num_tasks:
            most = self.num_tasks
            at_once = self.learning.tasks_at_once
            require(at_once <= most, "learning.tasks_at_once", f"<= tasks={most}", at_once)
            if left := most % at_once:
                raise ValueError(
                    f"tasks={most} leaves {left} over: an update plays learning.tasks_at_once="
                    f"{at_once}, so make it {most - left} or {most - left + at_once}"
                )

    @property
    def trains_net(self) -> bool:
        """Whether a network is trained, and not a gain model."""
        return isinstance(self.policy, LearnedRules)

    @property
    def has_store(self) -> bool:
        """Whether there may be settled trials of runs."""
        return not isinstance(self.store, Memory)

    @property
    def policy_name(self) -> str:
        """The name of the policy, and of its files in the folder of the run."""
        return option_name("policy", self.policy)

    @property
    def num_tasks(self) -> int:
        """Number of growth tasks."""
        return (1200 if self.trains_net else 450) if self.tasks is None else self.tasks

    @property
    def start_task(self) -> int:
        """Index of the first task."""
        return (2000 if self.trains_net else 1000) if self.first_task is None else self.first_task

    @property
    def num_updates(self) -> int:
        """Number of updates of a network."""
        return self.num_tasks // self.learning.tasks_at_once

    def reads(self, key: str) -> bool:
        """Return whether the training of the policy depends on a key of `learning`."""
        return (key in _OF_FITS) is not self.trains_net

    def _why_idle(self, key: str) -> str:
        """Return why the training does not read a key of `learning`; empty if it does."""
        if not self.reads(key):
            return f"on policy={self.policy_name}"
        if self.start is not None and key in _OF_SHAPE:
            return "with start, whose network has a shape of its own"
        if self.num_tasks == 0 and key not in (*_OF_STORES, *_OF_SHAPE, "dropout"):
            return "with tasks=0, which plays nothing"
        return ""

    def _refuse_idle_keys(self) -> None:
        """Raise ValueError if a key was changed that the training does not read."""
        for each in fields(self.learning):
            value = getattr(self.learning, each.name)
            if value != each.default and (why := self._why_idle(each.name)):
                raise ValueError(f"learning.{each.name}={value} has no effect {why}")
        if self.first_task is not None and self.num_tasks == 0:
            raise ValueError(f"first_task={self.first_task} has no effect with tasks=0")
        for each in fields(self.policy):
            value, key = getattr(self.policy, each.name), each.name
            is_read = key not in _IDLE_FOR_NETS if self.trains_net else key in _READ
            if not is_read and value != each.default:
                raise ValueError(
                    f"policy.{key}={value} has no effect: it is a key of `esper train`, which this "
                    "training does not read"
                )
        given = (
            self.check_tasks != type(self).check_tasks,
            self.start is not None,
            not isinstance(self.logger, NoLogger),
        )
        for key, is_given in zip(_OF_NETS, given, strict=True):
            if is_given and not self.trains_net:
                raise ValueError(f"{key} has no effect on policy={self.policy_name}")


def values_of(config: PolicyTraining) -> dict[str, Any]:
    """Return the options as plain values; the first key of a group is its option's `name`."""
    values: dict[str, Any] = plain(config)
    values |= {"tasks": config.num_tasks, "first_task": config.start_task}
    if not config.num_tasks:
        del values["first_task"]
    for group in ("policy", "store", "logger"):
        name = option_name(group, getattr(config, group))
        values[group] = {"name": name, **values[group]}
    values["learning"] = {k: v for k, v in values["learning"].items() if config.reads(k)}
    return values if config.trains_net else {k: v for k, v in values.items() if k not in _OF_NETS}


def record_of(config: PolicyTraining) -> dict[str, Any]:
    """Return the values of a run's `config.json`: the options, and the names of the features."""
    return {**values_of(config), "features": list(FEATURES)}


def deciding_values(config: PolicyTraining) -> dict[str, Any]:
    """Return the plain values of the options on which the trained policy depends."""
    return {key: value for key, value in values_of(config).items() if key not in _FREE}


def command_of(config: PolicyTraining) -> str:
    """Return the command that trains the same policy."""
    words = ["esper train-policy"]
    default = _leaves(deciding_values(PolicyTraining(policy=type(config.policy)())))
    for key, value in _leaves(deciding_values(config)).items():
        if key.endswith(".name"):
            words.append(f"{key.removesuffix('.name')}={value}")
        elif key in _ALWAYS or default.get(key, value) != value:
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
        if was != now and key.partition(".")[0] not in _FREE:
            raise ConfigError(f"the run has another configuration: {key} was {was}, is {now} now")


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        is_group = isinstance(value, Mapping)
        leaves |= _leaves(value, f"{prefix}{key}.") if is_group else {f"{prefix}{key}": value}
    return leaves
