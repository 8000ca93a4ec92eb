"""Growth episodes as an environment of Gymnasium, for agents of others.

    gymnasium.make("esper.run.episodes.environment:esper/Growth-v0", tasks=range(100))

One step carries out an action, trains an epoch, and shows the network at its end.  An episode has
as many steps as its task has epochs.  The reward is 0 but for the last step, which brings the net
gain over the never-grown run of the same task and seed, as in `episode`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from esper.contracts.checks import require
from esper.contracts.stage import SeedStage
from esper.policy.never import Never
from esper.probe.rng_state import RngState, restored
from esper.run.episodes.agent import (
    NUM_ACTIONS,
    WAIT,
    Agent,
    AgentPolicy,
    action_mask,
    only_wait,
)
from esper.run.episodes.encoding import SIZE, encode
from esper.run.episodes.episode import Episode, EpisodeResult, net_gain, run_episode
from esper.run.episodes.task import EpisodeTask, draw_task
from esper.signals.scale import UNKNOWN, Floats
from esper.signals.trends import HealthTrends

ID = "esper/Growth-v0"


class GrowthEnv(gymnasium.Env[Floats, np.int64]):
    """Grows a network, one epoch a step.

    Actions are those of `agent`, observations those of `encoding`.  `info` holds

    action_mask: (NUM_ACTIONS,), 1 for each action that can be carried out now.  A masked action is
        carried out as waiting.
    task, epoch, price: index of the task, finished epochs, price of FLOPs.
    was_masked, germinated: whether the last action was masked, and whether a kernel germinated.
    result, never: at the end, those of the run and of the never-grown one.

    The global random generators of the agent's process are left as they were.

    Args:
        tasks: tasks of the family, or their indices, from which `reset` draws.
        rng_seed: of the hosts, and of the order of their data.
        price: log loss that a doubling of FLOPs must bring, in [0, 1]; None for each task's own.
        keeps: whether each kernel is kept at its first look; otherwise the usual verdict decides.

    Raises:
        ValueError: if there is no task, or the price is out of range.
    """

    def __init__(
        self,
        tasks: Iterable[int | EpisodeTask] = range(100),
        rng_seed: int = 0,
        price: float | None = None,
        *,
        keeps: bool = False,
    ) -> None:
        self.tasks = tuple(map(_task_of, tasks))
        if not self.tasks:
            raise ValueError("tasks must hold at least one")
        require(price is None or 0 <= price <= 1, "price", "in [0, 1] or None", price)
        self.rng_seed, self.price, self.keeps = rng_seed, price, keeps
        self.action_space = spaces.Discrete(NUM_ACTIONS)
        self.observation_space = spaces.Box(UNKNOWN, 1.0, (SIZE,), np.float32)
        self._never: dict[EpisodeTask, EpisodeResult] = {}
        self._episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode, and train its first epoch.

        Args:
            seed: of the draws of tasks, from now on.
            options: `task` is the index of a task of the family, or a task, instead of a draw.

        Raises:
            ValueError: if there is another option.
        """
        super().reset(seed=seed)
        given = {"task": self.tasks[self.np_random.integers(len(self.tasks))], **(options or {})}
        require(given.keys() == {"task"}, "options", "task", ", ".join(options or ()))
        self._task = task = _task_of(given["task"])
        self.close()
        self._price = task.price if self.price is None else self.price
        self._trends = HealthTrends()
        with self._own_generators(RngState.now()):
            agent = Agent(price=self._price, keeps=self.keeps)
            self._episode = Episode(task, self.rng_seed, policy=agent)
            self._observe(self._episode)
        return self._encoding, self._info()

    def step(self, action: np.int64) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Carry out an action and train an epoch; after the last one, measure what was gained.

        Raises:
            ValueError: if the action is not in the action space.
            RuntimeError: if no episode was begun, or it is over.
        """
        if self._episode is None:
            raise RuntimeError("no episode has begun: call reset first")
        if not self.action_space.contains(action):
            raise ValueError(f"action must be in [0, {NUM_ACTIONS}), got {action!r}")
        episode, reward = self._episode, 0.0
        was_masked = not self._mask[action]
        _policy_of(episode).action = WAIT if was_masked else int(action)
        with self._own_generators(self._generators):
            report = episode.act(self._seen)
            if not (is_over := episode.is_over):
                self._observe(episode)
        moves = [move.to_stage for move in report.moves]
        info = self._info() | {
            "was_masked": was_masked,
            "germinated": SeedStage.GERMINATED in moves,
        }
        if is_over:
            reward = self._end(episode, info)
        return self._encoding, reward, is_over, False, info

    def close(self) -> None:
        """End the episode that goes on, if there is one."""
        if self._episode is not None:
            self._episode.grower.close()
            self._episode = None

    def _observe(self, episode: Episode) -> None:
        """Train an epoch; keep what the agent sees at its end, and what it can do."""
        self._seen = episode.observe()
        observation = self._seen.observation
        self._encoding = encode(observation, self._trends.update(observation), self._price)
        self._mask = action_mask(episode.grower, _policy_of(episode), self._seen)

    def _end(self, episode: Episode, info: dict[str, Any]) -> float:
        """Return the net gain of an episode that is over, and add both results to `info`."""
        with restored(RngState.now()):
            result = episode.finish()
            if episode.task not in self._never:
                self._never[episode.task] = run_episode(episode.task, self.rng_seed, Never())
        never = self._never[episode.task]
        self._episode, self._mask = None, only_wait()
        info |= {"result": result, "never": never, "action_mask": self._mask.copy()}
        return net_gain(result, never, self._price)

    def _info(self) -> dict[str, Any]:
        return {
            "action_mask": self._mask.copy(),
            "task": self._task.index,
            "epoch": self._seen.metrics.epoch,
            "price": self._price,
        }

    @contextmanager
    def _own_generators(self, state: RngState) -> Iterator[None]:
        """Run a block with the episode's global random state, then restore the agent's."""
        with restored(state):
            yield
            self._generators = RngState.now()


def _task_of(named: int | EpisodeTask) -> EpisodeTask:
    return named if isinstance(named, EpisodeTask) else draw_task(int(named))


def _policy_of(episode: Episode) -> AgentPolicy:
    policy = episode.grower.policy
    assert isinstance(policy, AgentPolicy), "reset gives every episode this policy"
    return policy


gymnasium.register(ID, entry_point=f"{__name__}:{GrowthEnv.__name__}")
