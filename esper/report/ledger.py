"""The output of `esper ledger`: the pools of a ledger, as a table or as values for JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from esper.contracts.ledger import LedgerEntry
from esper.logger.format import count, decimal, percent, plural, signed_percent
from esper.report.inspect import titled_table
from esper.store.export import num_runs
from esper.store.pools import PoolSummary, summarise

POOLS = (
    *("@slots", "@blueprint", "#trials"),
    *("#mean\nreward", "#spread", "#mean\ngain", "#success", "last run"),
)


def ledger_table(entries: Sequence[LedgerEntry], title: str) -> RenderableType:
    """Return a head with `title`, and a table of pools for each task family and reward model.

    `entries` are oldest first.
    """
    words = Text(title, style="bold")
    told = f"  {plural(len(entries), 'entry', 'entries')} of {plural(num_runs(entries), 'run')}"
    words.append(told, style="not bold")
    tables = [
        titled_table(f"{family} tasks, judged by {model}", POOLS, map(_row, pools))
        for (family, model), pools in groupby(summarise(entries), _comparable)
    ]
    return Group(words, *chain(*tables))


def ledger_values(entries: Sequence[LedgerEntry]) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "entries": len(entries),
        "runs": list(dict.fromkeys(entry.run for entry in entries)),
        "pools": [asdict(pool) for pool in summarise(entries)],
    }


def shown_run(run: str) -> str:
    """Return the key of a run; a folder in the working directory is shown relative to it."""
    path = Path(run)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else run


def _comparable(pool: PoolSummary) -> tuple[str, str]:
    return pool.task_family, pool.reward_model


def _row(pool: PoolSummary) -> tuple[str, ...]:
    return (
        f"{pool.slot_kind} {pool.placement}",
        pool.blueprint,
        count(pool.trials),
        decimal(pool.mean_reward),
        decimal(pool.spread),
        signed_percent(pool.mean_gain),
        percent(pool.success_share),
        shown_run(pool.last_run),
    )
