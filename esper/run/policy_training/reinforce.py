"""Train the network of a policy by reinforcement: play tasks, compare returns, update, repeat.

Each update plays fresh tasks, several times each with the network that explores and once without
growth.  All random numbers are drawn from the seed, the update and the task, so that a training
that was stopped goes on as if it had not been.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esper.contracts.slot import SlotKind
from esper.learning.advantage import gae, leave_one_out
from esper.learning.options import Learning
from esper.learning.ppo import Diagnostics, Experience, optimizer_of, update
from esper.learning.replay import Replay
from esper.learning.situation import WAIT, Judgement, collate
from esper.policy.learned_rules import LearnedRules
from esper.policy.networks.net_file import LearnedNet
from esper.run.episodes.episode import EpisodeResult
from esper.run.episodes.parallel import Workers
from esper.run.episodes.short_hosts import training_task
from esper.run.policy_training.rollouts import Played, Player, never, outcome, play

RNG_SEEDS = 100
"""Seeds of growth runs that are drawn from."""
SLOWEST = {SlotKind.FEATURE_MAP: 0, SlotKind.SEQUENCE: 1, SlotKind.DENSE: 2}
"""Order in which tasks are played, so that no process waits long for the last one."""
LEAST_RISE = 0.002
"""Rise of the mean return that counts as better."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The rollouts of one task and seed, and their returns."""

    rollouts: tuple[Played, ...]
    returns: tuple[float, ...]


class Training:
    """A training in progress.

    learned: the network.
    history: a line for each update, in order.
    """

    def __init__(
        self, rules: LearnedRules, options: Learning, learned: LearnedNet, rng_seed: int
    ) -> None:
        self.rules, self.options, self.learned, self.rng_seed = rules, options, learned, rng_seed
        self.history: list[dict[str, Any]] = []
        self.net = learned.net
        self.optimizer = optimizer_of(self.net, options)
        self.target, self.first = copy.deepcopy(self.net), copy.deepcopy(self.net)
        self.replay = Replay(options.replay, options.replay_age)

    @property
    def updates(self) -> int:
        """Number of finished updates."""
        return len(self.history)

    def update(self, tasks: Sequence[int], workers: Workers) -> dict[str, Any]:
        """Play tasks, learn from them, and return the line of the update."""
        groups = self.play(tasks, workers)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the numbers must not depend on how many there are
        try:
            found = self.learn(groups)
        finally:
            torch.set_num_threads(threads)
        rate = self.optimizer.param_groups[0]["lr"]
        line = {"update": self.updates + 1, **told(groups), **asdict(found), "rate": rate}
        self.history.append(line)
        if self.is_on_plateau:
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] / 2, self.options.rate / 100)
        every = self.options.target_every
        if not every or self.updates % every == 0:
            self.target.load_state_dict(self.net.state_dict())
        return line

    @property
    def player(self) -> Player:
        """The present network, in a form that other processes take."""
        tensors = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        return Player(self.rules, self.learned.config, tensors, self.options.exploration)

    @property
    def is_over(self) -> bool:
        """Whether the mean return has risen no more for `patience` updates."""
        patience = self.options.patience
        return bool(patience) and self._epochs_without_rise() >= patience

    @property
    def is_on_plateau(self) -> bool:
        """Whether the rate is halved now: every `plateau` updates without a better mean return."""
        plateau, since = self.options.plateau, self._epochs_without_rise()
        return bool(plateau and since) and since % plateau == 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state between two updates."""
        return {
            "history": self.history,
            "network": asdict(self.learned.config),
            "gain_model": self.learned.gain_model,
            "net": dict(self.net.state_dict()),
            "target": dict(self.target.state_dict()),
            "first": dict(self.first.state_dict()),
            "optimizer": _with_keys(self.optimizer.state_dict(), str),
            "replay": self.replay.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.history = list(state["history"])
        self.net.load_state_dict(state["net"])
        self.target.load_state_dict(state["target"])
        self.first.load_state_dict(state["first"])
        self.optimizer.load_state_dict(_with_keys(state["optimizer"], int))
        self.replay.load_state_dict(state["replay"])

    def play(self, tasks: Sequence[int], workers: Workers) -> list[Group]:
        """Return the rollouts of tasks."""
        ordered = sorted(tasks, key=lambda index: SLOWEST[training_task(index).kind])
        seeds = {index: int(self._rng(index).integers(RNG_SEEDS)) for index in ordered}
        player = self.player
        number = self.options.rollouts
        grown = [(index, seeds[index], k, player) for index in ordered for k in range(number)]
        played = list(workers.each(play, grown))
        plain = list(workers.each(never, [(index, seeds[index]) for index in ordered]))
        return [
            _group(played[at * number : (at + 1) * number], twin, self.options.training_price)
            for at, twin in enumerate(plain)
        ]

    def learn(self, groups: Sequence[Group]) -> Diagnostics:
        """Update the network by rollouts."""
        generator = torch.Generator().manual_seed(int(self._rng(-1).integers(2**62)))
        experiences = self._experiences(groups)
        if self.options.replay:
            self.replay.add(experiences, self.updates)
            experiences += self.replay.draw(len(experiences), generator)
        options = self.options
        return update(self.net, self.optimizer, experiences, options, generator, self.first)

    def _experiences(self, groups: Sequence[Group]) -> list[Experience]:
        alone = leave_one_out(torch.tensor([group.returns for group in groups])).tolist()
        experiences = []
        for group, advantages in zip(groups, alone, strict=True):
            for played, value, leaves in zip(
                group.rollouts, group.returns, advantages, strict=True
            ):
                experiences += self._episode(played, value, leaves)
        return experiences

    def _episode(self, played: Played, value: float, leaves: float) -> list[Experience]:
        """Return the experiences of an episode, from its return and that over the others."""
        steps, number = played.steps, len(played.steps)
        match self.options.baseline:
            case "value" if number:
                expected = [float(v) for v in self._judged(played).values]
                rewards = [0.0] * (number - 1) + [value]
                found = gae(rewards, expected, decay=self.options.gae_decay)
            case "never":
                found = [value] * number
            case _:
                found = [leaves] * number
        return [
            Experience(s.situation, s.action, s.log_prob, advantage, value, s.has_failed)
            for s, advantage in zip(steps, found, strict=True)
        ]

    @torch.no_grad()
    def _judged(self, played: Played) -> Judgement:
        judgement: Judgement = self.target(collate([step.situation for step in played.steps]))
        return judgement

    def _epochs_without_rise(self) -> int:
        """Return the number of updates since the smoothed mean return was at its best."""
        returns = [line["return"] for line in self.history]
        smooth = [fmean(returns[max(0, at - 4) : at + 1]) for at in range(len(returns))]
        best, since = -math.inf, 0
        for each in smooth:
            best, since = (each, 0) if each > best + LEAST_RISE else (best, since + 1)
        return since

    def _rng(self, index: int) -> np.random.Generator:
        """Return the generator of a task of the present update; -1 is that of the learning."""
        return np.random.default_rng([31, self.rng_seed, self.updates, index + 1])


def told(groups: Sequence[Group]) -> dict[str, float]:
    """Return what the episodes of an update came to.

    Returns:
        return, return_spread: mean, and standard deviation among rollouts of a task.
        success: share of the kernels tried that were kept; events, kept: a run.
        waits, denied: share of the decisions that waited, and that asked for a kernel in vain.
    """
    results = [played.result for group in groups for played in group.rollouts]
    steps = [step for group in groups for played in group.rollouts for step in played.steps]
    returns: Tensor = torch.tensor([group.returns for group in groups])
    tried = sum(each.kept + each.culled for each in results)
    return {
        "return": float(returns.mean()),
        "return_spread": float(returns.var(1).mean().sqrt()),
        "events": fmean(each.events for each in results),
        "kept": fmean(each.kept for each in results),
        "success": sum(each.kept for each in results) / tried if tried else 0.0,
        "denied": fmean(step.was_denied for step in steps) if steps else 0.0,
        "waits": fmean(step.action == WAIT for step in steps) if steps else 1.0,
        "decisions": float(len(steps)),
    }


def _group(rollouts: Sequence[Played], twin: EpisodeResult, training_price: float) -> Group:
    returns = tuple(outcome(each.result, twin, training_price) for each in rollouts)
    return Group(tuple(rollouts), returns)


def _with_keys(optimizer: dict[str, Any], kind: type[str] | type[int]) -> dict[str, Any]:
    """Return the state of an optimizer, its parameters named by numbers or by texts."""
    return {**optimizer, "state": {kind(key): each for key, each in optimizer["state"].items()}}
