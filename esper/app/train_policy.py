"""`esper train-policy`: compose the configuration, train the policy, and say how to use it."""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from esper.app.arguments import flags_first
from esper.app.resume import command_to_resume, one_folder
from esper.app.schema import to_config
from esper.app.train import compose
from esper.logger.format import decimal, duration, percent, plural
from esper.run.policy_training.config import PolicyTraining
from esper.rundir.layout import TRAIN_POLICY


def train_policy(arguments: Sequence[str]) -> None:
    """Train a policy, or let Hydra print what its flags ask for.

    Raises:
        ConfigError: if Hydra refuses the arguments or the configuration that they compose.
        SystemExit: with code 1 if it failed, 130 if it was interrupted; the error was printed.
    """
    compose(TRAIN_POLICY, _train_task, flags_first(arguments))


def resume(folder: Path, words: Sequence[str]) -> None:
    """Continue the training in `folder`; options among the `words` replace those of before.

    Raises:
        ConfigError: if the folder holds no training of a policy, or as `train_policy` does.
        SystemExit: as `train_policy` does.
    """
    arguments, cwd = command_to_resume(*one_folder(folder, words), TRAIN_POLICY)
    with contextlib.chdir(cwd):
        train_policy(arguments)


def _train_task(cfg: DictConfig) -> None:
    from esper.run.policy_training.train import train_policy as train  # torch

    config = to_config(cfg, PolicyTraining)
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    name, number = config.policy_name, config.num_tasks
    typer.echo(f"esper train-policy: {name}, {number} tasks  ({run_dir})")
    tell = _teller_of_updates(config) if config.trains_net else _teller_of_tasks(number)
    summary = train(config, run_dir, tell)
    for line in _net_table(summary) if config.trains_net else _table(summary):
        typer.echo(line)
    key = "pretrained" if config.trains_net else "path"
    typer.echo(f"use it: esper train policy={name} policy.{key}={_shown(run_dir / name)}")
    if config.trains_net and config.num_updates:
        typer.echo(f"its learning curves: esper report {_shown(run_dir)}")


Tell = Callable[[int, dict[str, Any]], None]


def _teller_of_tasks(number: int) -> Tell:
    def tell(done: int, record: dict[str, Any]) -> None:
        typer.echo(f"{done:>5}/{number}  {_task_line(record)}")

    return tell


def _teller_of_updates(config: PolicyTraining) -> Tell:
    number, began_s, before = config.num_updates, time.monotonic(), -1

    def tell(done: int, line: dict[str, Any]) -> None:
        nonlocal before
        before = done - 1 if before < 0 else before
        left_s = (time.monotonic() - began_s) / (done - before) * (number - done)
        refused = f"  taken back: {line['refused']}" if line["refused"] else ""
        typer.echo(
            f"{done:>5}/{number}  return {line['return']:+.3f}  {line['events']:.1f} events, "
            f"{line['kept']:.1f} kernels kept  entropy {line['entropy']:.2f}  KL {line['kl']:.4f}  "
            f"{duration(left_s)} left{refused}"
        )

    return tell


def _net_table(summary: dict[str, Any]) -> list[str]:
    """Return the lines of the final table of a network."""
    judged = summary["evaluation"]
    rows = (
        ("updates", str(summary["updates"])),
        ("episodes", str(summary["episodes"])),
        *_settled_rows(summary.get("settled")),
        (f"mean net gain on {judged['tasks']} other tasks", decimal(judged["net_gain"])),
        ("of the planner", decimal(judged["planner"])),
        ("states refused for their uncertainty", percent(judged["refused_share"])),
    )
    return ["", *(f"{name:<44}{value:>10}" for name, value in rows), ""]


def _settled_rows(settled: dict[str, Any] | None) -> list[tuple[str, str]]:
    if settled is None:
        return []
    return [
        ("settled trials of runs, learned from", str(settled["trials"])),
        ("left out to judge by", str(settled["left_out"])),
        ("of another gain model or version", str(settled["foreign"])),
        ("passes that helped", str(settled["passes"])),
        ("their error before, in log loss", decimal(settled["error_before"])),
        ("their error after", decimal(settled["error_after"])),
    ]


def _task_line(record: dict[str, Any]) -> str:
    branches = record["branches"]
    words = f"task {record['task']} ({record['kind']}, after epoch {record['epoch']}): "
    if not branches:
        return f"{words}no slot can grow"
    best = max(branches, key=lambda branch: branch["gain"])
    number = plural(len(branches), "germination")
    return f"{words}{number}, best {best['blueprint']} in {best['slot']}, gain {best['gain']:+.3f}"


def _table(summary: dict[str, Any]) -> list[str]:
    """Return the lines of the final table."""
    judged = summary["evaluation"]
    rows = (
        ("tasks", str(summary["tasks"])),
        ("germinations", str(summary["rows"])),
        ("settled trials of runs", str(summary["settled_rows"])),
        ("correlation of predicted and measured gain", decimal(judged["correlation"])),
        ("root mean square error of the gain", decimal(judged["error"])),
        ("mean net value of the chosen action", decimal(judged["chosen"])),
        ("of the best action", decimal(judged["best"])),
        ("of a random germination", decimal(judged["random"])),
        ("best germination predicted to be the best", percent(judged["top_1"])),
    )
    table = [f"{name:<44}{value:>10}" for name, value in rows]
    if foreign := summary["settled_rows_of_other_features"]:
        table.append(f"{plural(foreign, 'settled trial')} left out: of another version's features")
    return ["", "predictions for tasks that were not fitted:", *table, ""]


def _shown(path: Path) -> str:
    """Return a path, relative if it lies in the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
