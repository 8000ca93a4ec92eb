"""Growth episodes as an environment: its interface, its masks, and its reward."""

import math
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from esper.policy.never import Never
from esper.run.episodes.agent import NUM_ACTIONS, WAIT
from esper.run.episodes.encoding import SIZE
from esper.run.episodes.environment import ID, GrowthEnv
from esper.run.episodes.episode import Episode, run_episode
from esper.run.episodes.scripted import Event, Scripted
from tests.unit.run.episodes.small_tasks import small_task

SEED = 100


def make_env(**options: Any) -> GrowthEnv:
    return GrowthEnv([small_task(0), small_task(1)], SEED, **options)


def play(env: GrowthEnv, seed: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Take random actions, masked ones too; return what each step brought."""
    _, info = env.reset(seed=seed)
    steps: list[dict[str, Any]] = []
    is_over = False
    while not is_over:
        mask = info["action_mask"]
        action = int(rng.choice(np.flatnonzero(mask == rng.integers(2))))
        _, reward, is_over, is_cut, info = env.step(np.int64(action))
        assert not is_cut
        steps.append({"action": action, "allowed": bool(mask[action]), "reward": reward, **info})
    return steps


def test_gymnasium_finds_nothing_wrong() -> None:
    made = gymnasium.make(ID, tasks=[small_task()], rng_seed=SEED)
    check_env(made.unwrapped)
    made.close()


def test_each_action_that_is_not_masked_is_carried_out_and_no_other() -> None:
    rng, env = np.random.default_rng(0), make_env()
    steps = [step for seed in range(5) for step in play(env, seed, rng)]
    assert len(steps) == 5 * 16
    allowed = [step for step in steps if step["action"] != WAIT and step["allowed"]]
    masked = [step for step in steps if not step["allowed"]]
    assert len(allowed) >= 5
    assert len(masked) >= 20
    assert all(step["germinated"] and not step["was_masked"] for step in allowed)
    assert all(step["was_masked"] and not step["germinated"] for step in masked)
    ends = [step for step in steps if "result" in step]
    assert sum(step["result"].events for step in ends) == len(allowed)


def test_the_reward_is_the_net_gain_at_the_end() -> None:
    env = make_env(price=0.2, keeps=True)
    _, info = env.reset(seed=0, options={"task": small_task(1)})
    assert info["action_mask"][1]
    rewards, is_over = [], False
    while not is_over:
        action = np.int64(1 if not rewards else WAIT)
        _, reward, is_over, _, info = env.step(action)
        rewards.append(reward)
    grown = Episode(
        small_task(1), SEED, policy=Scripted(events=(Event(1, "blocks.0", "mlp"),), probes=True)
    ).finish()
    never = run_episode(small_task(1), SEED, Never())
    gain, doublings = math.log(never.loss / grown.loss), math.log2(grown.flops / never.flops)
    assert (grown.kept, never.events) == (1, 0)
    assert doublings > 0
    assert rewards == [0.0] * 15 + [gain - 0.2 * doublings]
    assert (info["result"].loss, info["never"].loss) == (grown.loss, never.loss)


def test_waiting_is_worth_nothing() -> None:
    env = make_env()
    _, info = env.reset(seed=0)
    assert info["price"] == 0.1
    *_, (_, reward, is_over, _, _) = [env.step(np.int64(WAIT)) for _ in range(16)]
    assert (reward, is_over) == (0.0, True)
    with pytest.raises(RuntimeError, match=r"^no episode has begun: call reset first$"):
        env.step(np.int64(WAIT))


def first_steps(env: GrowthEnv, options: dict[str, Any] | None = None) -> list[NDArray[np.float32]]:
    seen = [env.reset(seed=7, options=options)[0]]
    return [*seen, *(env.step(np.int64(action))[0] for action in (5, 0, 14))]


def test_two_episodes_of_one_seed_are_equal_and_those_of_two_tasks_are_not() -> None:
    env = make_env()
    first = first_steps(env)
    torch.rand(1)  # the agent's draws in between do not matter
    again = first_steps(make_env())
    assert np.array_equal(first, first_steps(env))
    assert np.array_equal(first, again)
    other = first_steps(env, {"task": small_task(5)})
    assert not np.array_equal(first[0], other[0])
    assert {each.shape for each in first} == {(SIZE,)}
    env.close()


def test_the_draws_of_the_agent_are_its_own() -> None:
    env = make_env()
    torch.manual_seed(3)
    np.random.seed(3)
    env.reset(seed=0)
    env.step(np.int64(WAIT))
    drawn, number = torch.rand(2), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    assert torch.equal(drawn, torch.rand(2))
    assert number == np.random.rand()


def test_what_is_not_known_is_refused() -> None:
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=rf"^action must be in \[0, {NUM_ACTIONS}\)"):
        env.step(np.int64(NUM_ACTIONS))
    with pytest.raises(ValueError, match=r"^options must be task, got tsak$"):
        env.reset(options={"tsak": 3})
    with pytest.raises(ValueError, match=r"^tasks must hold at least one$"):
        GrowthEnv([])
    with pytest.raises(ValueError, match=r"^price must be in \[0, 1\] or None, got 1.5$"):
        make_env(price=1.5)


def test_nothing_of_esper_imports_gymnasium_by_itself() -> None:
    code = "import sys, esper.cli, esper.run.run; assert 'gymnasium' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
