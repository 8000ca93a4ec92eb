"""Train the network of a policy, update after update, and judge it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from esper.checkpoint.rotation import CheckpointRotation
from esper.contracts.errors import ConfigError, DataError
from esper.learning.settled import Settled, SettledReport, check_number, learn_settled
from esper.logger.bus import EventBus
from esper.policy.learned_net import SIZES, config_of, untrained
from esper.policy.networks.net_file import LearnedNet, NetConfig, load_net
from esper.policy.networks.shape import TEMPERATURE
from esper.run.episodes.parallel import Workers
from esper.run.policy_training.check import check
from esper.run.policy_training.config import PolicyTraining, values_of
from esper.run.policy_training.reinforce import Training
from esper.run.policy_training.rows import trials_of
from esper.rundir.layout import CHECKPOINTS, LEARNING, SNAPSHOT, write_lines
from esper.store.read_once import ReadOnce

Tell = Callable[[int, dict[str, Any]], None]


def train_net(
    config: PolicyTraining, run_dir: Path, tell: Tell
) -> tuple[LearnedNet, dict[str, Any]]:
    """Return the trained network, and what is known of it.

    A folder with a checkpoint is continued.

    Raises:
        ConfigError: if a network to start from cannot be used.
        EsperError: if no checkpoint of the folder can be used, or a file cannot be written.
    """
    options, rules = config.learning, config.policy
    saved = CheckpointRotation(run_dir / CHECKPOINTS)
    newest = saved.latest()
    before = None if newest is None else newest.saved.tree
    learned = start_of(config) if before is None else _resumed(config, before)
    training = Training(rules, options, learned, config.rng_seed)
    trials, foreign = _settled(config, run_dir)
    if before is not None:
        training.load_state_dict(before)
        write_lines(run_dir / LEARNING, training.history)  # a kill may have come before the line
    bus = EventBus(*config.logger.build(run_dir))
    bus.start(_facts(config, run_dir, training.updates))
    updates, number = config.num_updates, options.tasks_at_once
    with Workers(config.processes) as workers, closing(_Closing(bus)) as end:
        while training.updates < updates and not training.is_over:
            first = config.start_task + training.updates * number
            line = training.update(range(first, first + number), workers)
            saved.save(training.state_dict(), {"update": training.updates}, is_best=False)
            write_lines(run_dir / LEARNING, training.history)
            bus.epoch({"epoch": line["update"], **_scalars(line)})
            tell(training.updates, line)
        settled = None
        if config.has_store:
            settled = {**asdict(_learn(config, training, trials)), "foreign": foreign}
        found = check(training.player, config.check_tasks, workers)
        end.summary = facts = {
            "updates": training.updates,
            "episodes": training.updates * number * options.rollouts,
            **({} if settled is None else {"settled": settled}),
            "evaluation": {k: v for k, v in asdict(found).items() if k != "spreads"},
        }
    return replace(training.learned, spreads=found.spreads), facts


def _settled(config: PolicyTraining, run_dir: Path) -> tuple[list[Settled], int]:
    """Return the settled trials that networks asked for, and the number of foreign ones.

    A store that is of no use leaves no snapshot, so that a resumed training reads it again.

    Raises:
        EsperError: if the store cannot be used, or holds too few.
    """
    if not config.has_store:
        return [], 0
    store = ReadOnce(option=config.store, run_dir=run_dir, run=str(run_dir.resolve())).open()
    with closing(store):
        entries = store.load()
    try:
        trials, foreign = trials_of(entries, config.policy.gain_model().digest)
        check_number(trials)
    except DataError:
        (run_dir / SNAPSHOT).unlink(missing_ok=True)
        raise
    return trials, foreign


def _learn(config: PolicyTraining, training: Training, trials: list[Settled]) -> SettledReport:
    """Improve a network by settled trials."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the numbers must not depend on how many there are
    try:
        return learn_settled(training.net, trials, config.learning, TEMPERATURE, config.rng_seed)
    finally:
        torch.set_num_threads(threads)


class _Closing:
    """Closes a bus with the summary, if there is one by then."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.summary: dict[str, Any] | None = None

    def close(self) -> None:
        self.bus.close(self.summary)


def start_of(config: PolicyTraining) -> LearnedNet:
    """Return the network that a training starts from.

    Raises:
        ConfigError: if it, or the gain model, cannot be used.
    """
    rules, options = config.policy, config.learning
    digest = rules.gain_model().digest
    if config.start is None:
        shape = options.shape_of(rules.hidden)
        learned = untrained(config_of(rules, shape, options.dropout), config.rng_seed)
        return replace(learned, gain_model=digest)
    learned = load_net(config.start, rules.kind, SIZES, digest, key="start")
    if options.dropout not in (0.0, learned.config.dropout):
        raise ConfigError(
            f"learning.dropout={options.dropout:g} has no effect: the network of start has a "
            f"dropout of {learned.config.dropout:g}"
        )
    return replace(learned, gain_model=digest)


def _resumed(config: PolicyTraining, before: dict[str, Any]) -> LearnedNet:
    """Return a network like that of a checkpoint, whose numbers are yet to be loaded.

    Raises:
        ConfigError: if it was trained beside another gain model.
    """
    made, digest = NetConfig.load(before["network"]), config.policy.gain_model().digest
    if before["gain_model"] != digest:
        raise ConfigError(
            "policy.path: the gain model is another one than when the training began; start a new "
            "one"
        )
    return replace(untrained(made, config.rng_seed), gain_model=digest)


def _facts(config: PolicyTraining, run_dir: Path, updates: int) -> dict[str, Any]:
    """Return what loggers are told of a training at its start."""
    return {
        "name": f"{config.policy_name} {run_dir.name}",
        "run_dir": str(run_dir),
        "config": values_of(config),
        "resumed_epoch": updates or None,
    }


def _scalars(line: dict[str, Any]) -> dict[str, float]:
    return {f"policy/{k}": v for k, v in line.items() if k not in ("update", "refused")}
