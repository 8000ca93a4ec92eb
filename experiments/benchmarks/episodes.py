"""Figures of growth episodes with dense hosts: time of a step through `Grower`, per process.

A step is an epoch of training with its control step.  `agent` steps through `GrowthEnv` with random
actions that are not masked; the never-grown run at the end of an episode is left out.
"""

import time
from collections.abc import Callable

import numpy as np

from esper.contracts.slot import SlotKind
from esper.policy.heuristic import Heuristic
from esper.policy.never import Never
from esper.run.episodes.environment import GrowthEnv
from esper.run.episodes.episode import Episode
from esper.run.episodes.parallel import run_each
from esper.run.episodes.task import EpisodeTask, draw_task
from experiments.benchmarks.figure import Figure

NUM_TASKS = 12
RNG_SEED = 100
MOST_MS = 25.0
"""40 steps a second."""
POLICIES = {"never": Never, "heuristic": Heuristic}


def episodes(num_tasks: int = NUM_TASKS) -> list[Figure]:
    """Return the milliseconds of a step, for each player in one process and in two."""
    tasks = [draw_task(index, SlotKind.DENSE) for index in range(num_tasks)]
    return [
        _figure(player, tasks, processes) for player in (*POLICIES, "agent") for processes in (1, 2)
    ]


def _figure(player: str, tasks: list[EpisodeTask], processes: int) -> Figure:
    spans = list(run_each(play, [(player, task) for task in tasks], processes))
    seconds = max(end for _, _, end in spans) - min(begin for _, begin, _ in spans)
    steps = sum(each for each, _, _ in spans)
    return Figure(
        name=f"episodes/{player}_{processes}",
        value=seconds * processes / steps * 1e3,
        unit="ms",
        goal=MOST_MS,
        reference=f"{len(tasks)} dense tasks, {processes} processes: "
        f"{steps / seconds:.0f} steps a second in all",
    )


def play(player: str, task: EpisodeTask) -> tuple[int, float, float]:
    """Play an episode; return its number of steps, and the time at its first and after its last."""
    step = _steps_of_agent(task) if player == "agent" else _steps_of(player, task)
    step()  # what is imported late
    begin = time.perf_counter()
    for _ in range(task.epochs - 2):
        step()
    return task.epochs - 2, begin, time.perf_counter()


def _steps_of(player: str, task: EpisodeTask) -> Callable[[], object]:
    return Episode(task, RNG_SEED, policy=POLICIES[player]()).step


def _steps_of_agent(task: EpisodeTask) -> Callable[[], object]:
    env, rng = GrowthEnv([task], RNG_SEED), np.random.default_rng(task.index)
    _, info = env.reset(seed=0)

    def step() -> None:
        nonlocal info
        action = rng.choice(np.flatnonzero(info["action_mask"]))
        *_, info = env.step(action)

    return step
