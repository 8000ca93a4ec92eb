"""Rows to fit a gain model on: of measured branches, and of the settled trials of runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from esper.contracts.errors import DataError
from esper.contracts.ledger import LedgerEntry
from esper.learning.gain_fit import GAINS, GainData
from esper.learning.reading import from_text
from esper.learning.settled import Settled
from esper.policy.learned_net import SIZES
from esper.policy.rules.posterior import log_gain
from esper.run.episodes.branches import Branch, measure_branches
from esper.run.episodes.short_hosts import training_task
from esper.signals.gain_features import FEATURES, Offer, offers_of

Record = dict[str, Any]
"""A task and its branches, as plain JSON values; unmeasured features are None."""


def measure(index: int, rng_seed: int) -> Record:
    """Return the record of a task: what each germination there brings, and its features."""
    task = training_task(index)
    measured = measure_branches(task, rng_seed)
    slots = [measured.observation.slot(each.event.slot) for each in measured.branches]
    known = {
        (offer.slot, offer.birth.blueprint): offer
        for offer in offers_of(measured.observation, slots)
    }
    return {
        "task": index,
        "kind": str(task.kind),
        "price": task.price,
        "epoch": measured.observation.epoch,
        "loss": measured.loss,
        "prefix": [asdict(event) for event in measured.prefix],
        "branches": [
            _branch(each, known[each.event.slot, each.event.blueprint])
            for each in measured.branches
            if (each.event.slot, each.event.blueprint) in known
        ],
    }


def _branch(branch: Branch, offer: Offer) -> Record:
    features = [offer.features[name] for name in FEATURES]
    return {
        "slot": branch.event.slot,
        "blueprint": branch.event.blueprint,
        "gain": branch.gain,
        "added_flops": branch.added_flops,
        "features": [each if math.isfinite(each) else None for each in features],
    }


def branch_data(records: Sequence[Record]) -> GainData:
    """Return the rows of all branches; tasks are their indices."""
    rows = [(record["task"], branch) for record in records for branch in record["branches"]]
    return _data(
        [branch["features"] for _, branch in rows],
        [branch["gain"] for _, branch in rows],
        [task for task, _ in rows],
    )


def settled_data(entries: Sequence[LedgerEntry]) -> tuple[GainData, int]:
    """Return the rows of settled trials, and how many trials other features than ours describe.

    The gain is that of a lasting kernel, ln(loss without it / loss with it).  The tasks are the
    runs, numbered -1, -2, ... in the order of their first entries.
    """
    settled = [each for each in entries if each.features and each.loss_reduction is not None]
    ours = [each for each in settled if len(each.features) == len(FEATURES)]
    runs = {run: -1 - place for place, run in enumerate(dict.fromkeys(e.run for e in ours))}
    data = _data(
        [each.features for each in ours],
        [lasting_gain(each) for each in ours],
        [runs[each.run] for each in ours],
    )
    return data, len(settled) - len(ours)


def trials_of(entries: Sequence[LedgerEntry], gain_model: str) -> tuple[list[Settled], int]:
    """Return the settled trials that a network asked for, and the number of foreign ones.

    Foreign ones were described by another gain model or with other features than ours.

    Raises:
        DataError: if what it read is damaged.
    """
    trials, foreign = [], 0
    columns = (SIZES.run, SIZES.node, SIZES.edge, SIZES.offer)
    for each in entries:
        if not each.reading or each.loss_reduction is None:
            continue
        try:
            reading = from_text(each.reading)
        except ValueError as error:
            raise DataError(f"store: entry {each.event} of run {each.run}: {error}") from error
        if reading.gain_model != gain_model or reading.columns != columns:
            foreign += 1
            continue
        gain = min(max(lasting_gain(each), GAINS[0]), GAINS[1])
        trials.append(Settled(each.run, reading, gain))
    return trials, foreign


def lasting_gain(entry: LedgerEntry) -> float:
    """Return ln(loss without the kernel / loss with it) of a trial, as if it were kept for good."""
    assert entry.loss_reduction is not None, "the trial was measured"
    return log_gain(entry.loss_reduction, entry.shown)


def joined(first: GainData, second: GainData) -> GainData:
    """Return the rows of both."""
    return GainData(
        names=first.names,
        features=np.concatenate([first.features, second.features]),
        gains=np.concatenate([first.gains, second.gains]),
        tasks=np.concatenate([first.tasks, second.tasks]),
    )


def chosen(data: GainData, rows: Any) -> GainData:
    """Return some of the rows, given by a mask (N,)."""
    return GainData(
        names=data.names,
        features=data.features[rows],
        gains=data.gains[rows],
        tasks=data.tasks[rows],
    )


def as_features(row: Sequence[float]) -> Mapping[str, float]:
    """Return the features of a row by name."""
    return dict(zip(FEATURES, row, strict=True))


def _data(
    features: Sequence[Sequence[float | None]], gains: Sequence[float], tasks: Sequence[int]
) -> GainData:
    return GainData(
        names=FEATURES,
        features=np.array(features, dtype=np.float64).reshape(len(features), len(FEATURES)),
        gains=np.array(gains, dtype=np.float64),
        tasks=np.array(tasks, dtype=np.int64),
    )
