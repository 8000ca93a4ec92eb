"""Judge a trained network on tasks that it was not trained on, beside the planner.

The tasks are those that rules and defaults are tuned on, not those of the evaluation.
"""

from dataclasses import dataclass
from statistics import fmean

from esper.learning.examine import spreads as spreads_of
from esper.learning.situation import collate
from esper.run.episodes.episode import EpisodeResult, net_gain
from esper.run.episodes.parallel import Workers
from esper.run.episodes.short_hosts import training_task
from esper.run.policy_training.rollouts import Played, Player, never, planned, play

FIRST_TASK = 500
RNG_SEED = 0
MOST_UNCERTAINTY = 0.9
"""`safety.max_uncertainty` of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a network is worth; net gains are means over the tasks.

    net_gain, planner: of the network and of the planner.
    decisions: states in which the network could have grown.
    refused_share: share of those in which safety would refuse its best offer for its uncertainty.
    spreads: ascending spreads of the best offers' ranks with dropout; empty without it.
    """

    tasks: int
    net_gain: float
    planner: float
    decisions: int
    refused_share: float
    spreads: tuple[float, ...]


def check(player: Player, num_tasks: int, workers: Workers) -> Check:
    """Return what a network does on so many tasks without exploring."""
    tasks = [(FIRST_TASK + place, RNG_SEED) for place in range(num_tasks)]
    played = list(workers.each(play, [(*task, None, player) for task in tasks]))
    plain = list(workers.each(never, tasks))
    others = list(workers.each(planned, [(*task, player.rules.path) for task in tasks]))
    doubts, spreads = _doubts(played, player)
    return Check(
        tasks=num_tasks,
        net_gain=_mean([each.result for each in played], plain),
        planner=_mean(others, plain),
        decisions=len(doubts),
        refused_share=fmean(d > MOST_UNCERTAINTY for d in doubts) if doubts else 0.0,
        spreads=tuple(sorted(spreads)),
    )


def _mean(results: list[EpisodeResult], plain: list[EpisodeResult]) -> float:
    return fmean(
        net_gain(one, twin, training_task(one.index).price)
        for one, twin in zip(results, plain, strict=True)
    )


def _doubts(played: list[Played], player: Player) -> tuple[list[float], list[float]]:
    """Return the uncertainties of the best offers, and their spreads with dropout, if there is."""
    net, doubts, spreads = player.learned().net, [], []
    for step in (step for each in played for step in each.steps):
        every = step.situation.with_all()
        action = 1 + int(net(collate([every])).ranks[0, 1:].argmax())
        doubts.append(float(every.doubts[action - 1]))
        if player.config.dropout > 0:
            spreads += spreads_of(net, every, [action])
    return doubts, spreads
