"""Play growth tasks with a network that explores, and tell what its decisions led to.

    return = ln(never.loss / loss) - price * log2(FLOPs / never.FLOPs)
             - training_price * log2(training FLOPs / never.training FLOPs)

The never-grown run has the same task, host weights and order of data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.learning.situation import WAIT, Judgement, Situation
from esper.policy.base import Policy
from esper.policy.gain_policy import Forecast
from esper.policy.learned import LearnedPolicy
from esper.policy.learned_net import untrained
from esper.policy.learned_rules import LearnedRules
from esper.policy.networks.net_file import LearnedNet, NetConfig
from esper.policy.networks.shape import TEMPERATURE
from esper.policy.never import Never
from esper.policy.planner import Planner
from esper.run.episodes.episode import Episode, EpisodeResult, net_gain, run_episode
from esper.run.episodes.short_hosts import training_task

CLIPPED = (-0.5, 1.5)
"""Returns are clipped to this range, so that a few tasks do not decide an update."""


@dataclass(frozen=True)
class Player:
    """A network that plays, in a form that other processes take.

    rules: of the policy; its price gives way to the task's.
    config: of the network; tensors: its numbers.
    bonus: logits that a full uncertainty of an offer adds to it.
    """

    rules: LearnedRules
    config: NetConfig
    tensors: Mapping[str, torch.Tensor] = field(repr=False)
    bonus: float

    def learned(self) -> LearnedNet:
        """Return the network."""
        learned = untrained(self.config, 0)
        learned.net.load_state_dict(dict(self.tensors))
        return learned


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A decision: what was known, the action, its log probability, the value that was expected.

    was_denied: whether it asked for a kernel that did not germinate, because safety refused it.
    has_failed: whether the kernel was not kept; None if none germinated.
    """

    situation: Situation
    action: int
    log_prob: float
    value: float
    was_denied: bool = False
    has_failed: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """An episode: its decisions in order, and its result."""

    steps: tuple[Step, ...]
    result: EpisodeResult


class _Explorer(LearnedPolicy):
    """Draws its actions, and keeps the steps.

    asked: slot and blueprint that each step asked for; None for a step that waited.
    """

    name = "explorer"

    def __init__(
        self, player: Player, rules: LearnedRules, generator: torch.Generator | None
    ) -> None:
        super().__init__(rules, rules.gain_model(), player.learned())
        self.bonus = 0.0 if generator is None else player.bonus * TEMPERATURE
        self.steps: list[Step] = []
        self.asked: list[tuple[str, str] | None] = []
        self.generator = generator

    def requests(
        self, observation: Observation, forecasts: Sequence[Forecast], most: int
    ) -> list[Decision]:
        """Return requests for the offers that are drawn, else to wait."""
        self._offers = [(f.offer.slot, f.offer.birth.blueprint) for f in forecasts]
        return super().requests(observation, forecasts, most)

    def situation(self, observation: Observation, forecasts: Sequence[Forecast]) -> Situation:
        """Return what the network reads, with a bonus for uncertain offers."""
        seen = super().situation(observation, forecasts)
        return replace(seen, values=seen.values + self.bonus * seen.doubts)

    def pick(self, situation: Situation, said: Judgement) -> int:
        """Return an action, drawn by its probability; without a generator the best one."""
        chances = said.log_probs[0].exp()
        action = super().pick(situation, said)
        if self.generator is not None:
            action = int(torch.multinomial(chances, 1, generator=self.generator))
        log_prob, value = float(said.log_probs[0, action]), float(said.values[0])
        self.steps.append(Step(situation, action, log_prob, value))
        self.asked.append(None if action == WAIT else self._offers[action - 1])
        return action


@dataclass(frozen=True)
class _Exploring:
    """The option that builds an explorer, for `Grower`."""

    explorer: _Explorer

    def build(self, rng_seed: int) -> Policy:
        """Return the explorer."""
        return self.explorer


def play(index: int, rng_seed: int, number: int | None, player: Player) -> Played:
    """Return an episode of a task.

    `number` tells episodes of the same task and seed apart; None takes the best actions.
    """
    task, generator = training_task(index), None
    if number is not None:
        seed = np.random.default_rng([29, index, rng_seed, number]).integers(2**62)
        generator = torch.Generator().manual_seed(int(seed))
    explorer = _Explorer(player, replace(player.rules, price=task.price), generator)
    episode = Episode(task, rng_seed, policy=_Exploring(explorer))
    kept: set[tuple[str, str]] = set()
    grew: list[bool] = []
    while not episode.is_over:
        moves = episode.step().moves
        kept |= {(m.slot, m.blueprint) for m in moves if m.to_stage is SeedStage.FOSSILIZED}
        born = {(m.slot, m.blueprint) for m in moves if m.to_stage is SeedStage.GERMINATED}
        grew += [offer in born for offer in explorer.asked[len(grew) :]]
    steps = tuple(
        replace(
            step,
            was_denied=offer is not None and not has_grown,
            has_failed=offer not in kept if has_grown else None,
        )
        for step, offer, has_grown in zip(explorer.steps, explorer.asked, grew, strict=True)
    )
    return Played(steps, episode.finish())


def never(index: int, rng_seed: int) -> EpisodeResult:
    """Return the never-grown run of a task."""
    return run_episode(training_task(index), rng_seed, Never())


def planned(index: int, rng_seed: int, path: str | None) -> EpisodeResult:
    """Return the planner's run of a task."""
    task = training_task(index)
    return run_episode(task, rng_seed, Planner(price=task.price, path=path))


def outcome(played: EpisodeResult, plain: EpisodeResult, training_price: float) -> float:
    """Return the clipped return of an episode over the never-grown run of its task and seed."""
    trained = math.log2(played.train_flops / plain.train_flops)
    gain = net_gain(played, plain, training_task(played.index).price) - training_price * trained
    return min(max(gain, CLIPPED[0]), CLIPPED[1])
