"""The history of every seed, from a run's events and metrics, as values and as table rows.

In the head of a table, `#` before a title marks a column of numbers and `@` one of names.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from esper.logger.format import (
    count,
    decimal,
    place,
    plural,
    signed_percent,
    spans,
    without_details,
)
from esper.rundir.records import Run

Row = tuple[Any, ...]
Seed = tuple[str, int]
"""Slot, and index of the seed in it."""

DECISIONS = ("#epoch", "@decision", "@where", "reason")
WAITS = ("#decisions", "epochs", "reason")
SEEDS = (
    *("@slot", "#seed", "@stage", "#since", "@blueprint"),
    *("#alpha", "#gain", "#ablation", "#composite"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stage that a seed was in; `start` and `end` are counts of finished epochs."""

    stage: str
    blueprint: str
    start: int
    end: int


def lanes(run: Run) -> dict[Seed, list[Span]]:
    """Return the stages except DORMANT of every seed that ever germinated, in order.

    Seeds are sorted by slot, in order of the slots' first growth, then by index.
    """
    moves = _moves(run)
    slots = list(dict.fromkeys(slot for slot, _ in moves))
    order = sorted(moves, key=lambda key: (slots.index(key[0]), key[1]))
    return {key: _spans(moves[key], run.last_epoch) for key in order}


def seed_rows(run: Run) -> list[Row]:
    """Return a row of `SEEDS` for every seed of every slot that the run's events name.

    `since` is the epoch at which the seed entered its stage, unknown if it never germinated, and
    `composite` the ledger's composite score of the kernel at its last look, in [0, 1].
    """
    moves = _moves(run)
    looks = {(look["slot"], look["seed"]): look for look in run.of_kind("performance")}
    last = {
        (seed["slot"], seed["seed"]): seed
        for line in run.metrics[-1:]
        for seed in line.get("seeds", ())
    }
    names = (event["slot"] for event in run.events if isinstance(event.get("slot"), str))
    slots = list(dict.fromkeys(names))
    per_slot = (run.config.get("model") or {}).get("num_seeds") or 0
    keys = {(slot, seed) for slot in slots for seed in range(per_slot)} | moves.keys()
    return [
        _seed_row(key, moves.get(key, []), last.get(key, {}), looks.get(key, {}))
        for key in sorted(keys, key=lambda key: (slots.index(key[0]), key[1]))
    ]


def decision_rows(run: Run) -> list[Row]:
    """Return a row of `DECISIONS` for every decision except to wait, and for every refusal.

    Refusals are one row if at most the numbers of their reasons differ; so are requests to adapt a
    slot that changed nothing.
    """
    changed = {(move["epoch"], move["slot"]) for move in run.of_kind("lifecycle")}
    rows: list[tuple[Hashable, Row]] = []
    for number, event in enumerate(run.of_kind("decision", "safety")):
        if event["kind"] == "safety":
            is_vain, row = True, _refusal_row(event)
        else:
            is_request = event["decision_kind"] == "adapt"
            is_vain = is_request and (event["epoch"], event.get("slot")) not in changed
            row = _decision_row(event, event["decision_kind"], event)
        if event.get("decision_kind") != "wait":
            rows.append(((*row[1:-1], without_details(row[-1])) if is_vain else number, row))
    return grouped(rows)


def _refusal_row(event: dict[str, Any]) -> Row:
    epoch, words, where, _ = _decision_row(event, event["decision"]["kind"], event["decision"])
    reason = f"{event['rule'].replace('_', ' ')}: {event['reason']}"
    return epoch, f"{words} refused", where, reason


def _decision_row(event: dict[str, Any], kind: str, decision: dict[str, Any]) -> Row:
    change = (decision.get("adaptation") or "").replace("_", " ")
    words = " ".join(filter(None, (kind, change)))
    where = place(decision.get("slot"), decision.get("seed"))
    return event["epoch"], words, where, decision.get("reason")


def wait_rows(run: Run) -> list[Row]:
    """Return a row of `WAITS` for all decisions to wait whose reasons differ in numbers at most.

    The reason is that of the first.
    """
    waits: dict[str, list[tuple[int, str]]] = {}
    for event in run.of_kind("decision"):
        if event["decision_kind"] == "wait":
            kind = without_details(event["reason"])
            waits.setdefault(kind, []).append((event["epoch"], event["reason"]))
    return [
        (count(len(each)), spans(epoch for epoch, _ in each), each[0][1]) for each in waits.values()
    ]


def grouped(rows: Iterable[tuple[Hashable, Row]]) -> list[Row]:
    """Return the first row of each key, whose reason tells how often and when there were more.

    A row starts with its epoch and ends with its reason.
    """
    groups: dict[Hashable, list[Row]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(row)
    return [(*group[0][:-1], f"{group[0][-1]}{_repeats(group)}") for group in groups.values()]


def _repeats(group: list[Row]) -> str:
    if len(group) == 1:
        return ""
    is_same = all(row[-1] == group[0][-1] for row in group)
    first = "" if is_same else "; the numbers are those of the first"
    epochs = {row[0] for row in group}
    when = f"epoch{'s' if len(epochs) > 1 else ''} {spans(epochs)}"
    return f" ({plural(len(group), 'time')}, {when}{first})"


def _moves(run: Run) -> dict[Seed, list[dict[str, Any]]]:
    moves: dict[Seed, list[dict[str, Any]]] = {}
    for move in run.of_kind("lifecycle"):
        moves.setdefault((move["slot"], move["seed"]), []).append(move)
    return moves


def _spans(moves: list[dict[str, Any]], last_epoch: int) -> list[Span]:
    """Return the stages in order; one entered and left at the same epoch has no length."""
    ends = [move["epoch"] for move in moves[1:]] + [max(last_epoch, moves[-1]["epoch"])]
    return [
        Span(stage=move["to_stage"], blueprint=move["blueprint"], start=move["epoch"], end=end)
        for move, end in zip(moves, ends, strict=True)
        if move["to_stage"] != "DORMANT"
    ]


def _seed_row(
    key: Seed, moves: list[dict[str, Any]], measured: dict[str, Any], look: dict[str, Any]
) -> Row:
    latest: dict[str, Any] = (
        moves[-1] if moves else {"to_stage": "DORMANT", "epoch": None, "blueprint": "-"}
    )
    born = max((move["epoch"] for move in moves if move["to_stage"] == "GERMINATED"), default=0)
    return (
        place(key[0]),
        key[1],
        latest["to_stage"],
        count(latest["epoch"]),
        latest["blueprint"],
        decimal(measured.get("alpha"), 2),
        signed_percent(measured.get("gain")),
        signed_percent(measured.get("ablation")),
        # A look at an earlier kernel of the seed says nothing about the present one.
        decimal(look.get("composite") if measured and look.get("epoch", 0) >= born else None, 2),
    )
