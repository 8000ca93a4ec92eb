"""What was chosen and what came of it: selections, promises, rewards, arms, blueprints.

Every reward is as it was given, in [-1, 1].  Heads of tables are marked as in `history`.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from esper.logger.format import (
    UNKNOWN,
    count,
    decimal,
    place,
    plural,
    scored,
    signed_percent,
    without_details,
)
from esper.logger.promises import Promises
from esper.logger.scalars import is_failure
from esper.report.history import Row, Seed, grouped
from esper.rundir.records import Run
from esper.strategy.agreement import LEAST_PAIRS

SELECTIONS = ("#epoch", "@where", "@chosen", "#strategy\nscore", "alternatives", "reason")
PROMISES = ("#epoch", "@seed", "@blueprint", "#expected gain", "#measured gain")
REWARDS = (
    *("#epoch", "@seed", "@blueprint", "@verdict"),
    *("#gain", "#later\ngain", "#composite", "#reward", "explanation"),
)
LEDGER = ("@where", "@blueprint", "#trials", "#mean reward", "#last reward")
RECORDS = ("@seed", "#activations", "#kept", "#failed", "#last activation")
BLUEPRINTS = ("@blueprint", "#tried", "#kept", "#culled", "#failures", "@penalty")

Arm = tuple[str, str]
"""Slot and blueprint."""


def selection_rows(run: Run) -> list[Row]:
    """Return a row of `SELECTIONS` for every germination that was to be made.

    Those that found no seed for reasons that differ in numbers at most are one row.
    """
    rows = [
        (
            event["epoch"],
            place(event["slot"]),
            UNKNOWN if event["seed"] is None else scored([event | {"score": None}]),
            decimal(event["score"]),
            scored(event["alternatives"]),
            event["reason"],
        )
        for event in run.of_kind("selection")
    ]
    return grouped(
        ((row[1], without_details(row[-1])) if row[2] == UNKNOWN else number, row)
        for number, row in enumerate(rows)
    )


def promises_of(run: Run) -> Promises:
    """Return what the plans of a run expected of each seed, and what was measured."""
    promises = Promises()
    for event in run.of_kind("plan", "reward"):
        if event["kind"] == "plan":
            for change in event["changes"]:
                seed, name, expected = map(change.get, ("seed", "blueprint", "expected_gain"))
                promises.promise(event["epoch"], event["slot"], seed, name, expected)
        else:
            outcome = event["outcome"]
            gain = None if outcome.get("rolled_back") else outcome["gain"]
            promises.settle(outcome["germinated_epoch"], outcome["slot"], outcome["seed"], gain)
    return promises


def promise_rows(promises: Promises) -> list[Row]:
    """Return a row of `PROMISES` for every germination of which a gain was expected."""
    return [
        (
            made.epoch,
            place(made.slot, made.seed),
            made.blueprint,
            signed_percent(made.expected),
            signed_percent(made.measured),
        )
        for made in promises.made
    ]


def in_words(promises: Promises) -> str:
    """Return how well the expected gains agree with the measured ones."""
    pairs, correlation = promises.agreement.pairs, promises.agreement.correlation
    if correlation is not None:
        value = f"{correlation:+.2f} ({plural(pairs, 'pair')})"
        return f"Correlation of expected and measured gain: {value}."
    if pairs < LEAST_PAIRS:
        return f"{plural(pairs, 'pair')} of gains; a correlation needs {LEAST_PAIRS}."
    return f"{plural(pairs, 'pair')} of gains, all equal on one side: there is no correlation."


def reward_rows(run: Run) -> list[Row]:
    """Return a row of `REWARDS` for every settled activation.

    `composite` is the ledger's score at its last look, in [0, 1].  A kept kernel that was
    looked at again has its latest gain as `later gain`, and its latest reward.
    """
    scores: dict[tuple[str, int], float | None] = {}
    verdicts: dict[tuple[str, int], int] = {}
    rows: list[Row] = []
    for event in run.of_kind("performance", "reward"):
        if event["kind"] == "performance":
            scores[event["slot"], event["seed"]] = event.get("composite")
        else:
            key = event["outcome"]["slot"], event["outcome"]["seed"]
            if event.get("epochs_after_keeping") is None:
                verdicts[key] = len(rows)
                rows.append(_reward_row(event, scores.pop(key, None)))
            else:
                rows[verdicts[key]] = _later_row(rows[verdicts[key]], event)
    return rows


def arms(run: Run) -> dict[Arm, list[dict[str, Any]]]:
    """Return the `ledger` events of every arm, oldest first; arms sorted by name."""
    updates: dict[Arm, list[dict[str, Any]]] = {}
    for event in run.of_kind("ledger"):
        updates.setdefault((event["slot"], event["blueprint"]), []).append(event)
    return dict(sorted(updates.items()))


def ledger_rows(run: Run) -> list[Row]:
    """Return a row of `LEDGER` for every arm's last record."""
    return [
        (
            place(slot),
            blueprint,
            count(updates[-1]["trials"]),
            with_error(updates[-1]["mean_reward"], updates[-1]["standard_error"]),
            decimal(updates[-1]["reward"]),
        )
        for (slot, blueprint), updates in arms(run).items()
    ]


def record_rows(run: Run) -> list[Row]:
    """Return a row of `RECORDS` for every seed of which an activation was settled."""
    latest: dict[Seed, dict[str, Any]] = {}
    for event in run.of_kind("ledger"):
        latest[event["slot"], event["seed"]] = event["history"]
    return [
        (
            place(slot, seed),
            count(known["activations"]),
            count(known["grafts"]),
            count(known["failures"]),
            count(known["activated_epoch"]),
        )
        for (slot, seed), known in sorted(latest.items())
    ]


def with_error(mean: float, error: float | None) -> str:
    """Return `-0.105 ± 0.081`; without the error if it is unknown."""
    return decimal(mean) if error is None else f"{decimal(mean)} ± {decimal(error)}"


@dataclass(slots=True)
class _Fate:
    """What became of a blueprint in a run; `penalties` are the last one and what barred it."""

    moves: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    penalty: str | None = None
    quarantine: str | None = None


def blueprint_rows(run: Run) -> list[Row]:
    """Return a row of `BLUEPRINTS` for every blueprint that was tried or could not be.

    Failures are kernels that could not be built or compiled, or that raised.  A penalty keeps a
    blueprint from being offered for a while; it is that after the last verdict.
    """
    fates: dict[str, _Fate] = {}
    for event in run.of_kind("lifecycle", "recovery", "policy_update"):
        _READERS[event["kind"]](fates, event)
    return [
        (
            blueprint,
            count(fate.moves["GERMINATED"]),
            count(fate.moves["FOSSILIZED"]),
            count(fate.moves["CULLED"]),
            count(fate.failures),
            ", ".join(filter(None, (fate.penalty, fate.quarantine))) or UNKNOWN,
        )
        for blueprint, fate in sorted(fates.items())
    ]


def _note_move(fates: dict[str, _Fate], event: dict[str, Any]) -> None:
    fates.setdefault(event["blueprint"], _Fate()).moves[event["to_stage"]] += 1


def _note_failure(fates: dict[str, _Fate], event: dict[str, Any]) -> None:
    if event["blueprint"] is None:
        return
    fate = fates.setdefault(event["blueprint"], _Fate())
    if is_failure(event["where"], event["strategy"]):
        fate.failures += event["count"]
    if event["strategy"] == "quarantine":
        fate.quarantine = f"barred from epoch {event['epoch']} on"


def _note_penalty(fates: dict[str, _Fate], event: dict[str, Any]) -> None:
    for name, value in event["values"].items():
        _, found, blueprint = name.partition("/penalty/")
        if found and value:
            penalty = f"{decimal(value, 2)} at epoch {event['epoch']}"
            fates.setdefault(blueprint, _Fate()).penalty = penalty


_READERS = {
    "lifecycle": _note_move,
    "recovery": _note_failure,
    "policy_update": _note_penalty,
}


def _later_row(row: Row, event: dict[str, Any]) -> Row:
    """Return the row of a kept kernel with what a later look revised."""
    *known, _, score, _, _ = row
    gain, reward = event["outcome"]["gains"][-1]["gain"], event["reward"]
    return *known, signed_percent(gain), score, decimal(reward["total"]), reward["explanation"]


def _reward_row(event: dict[str, Any], score: float | None) -> Row:
    outcome, reward = event["outcome"], event["reward"]
    return (
        event["epoch"],
        place(outcome["slot"], outcome["seed"]),
        outcome["blueprint"],
        "kept" if outcome.get("fossilized") else "culled",
        signed_percent(outcome.get("gain"), outcome.get("gain_error"), margin="±"),
        UNKNOWN,
        decimal(score, 2),
        decimal(reward.get("total")),
        reward.get("explanation"),
    )
