"""What happened to every seed, worked out from a run's events and metrics."""

from dataclasses import dataclass
from typing import Any

from esper.rundir.records import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stage that a seed was in; `start` and `end` are counts of finished epochs."""

    stage: str
    blueprint: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Everything that one seed went through, DORMANT left out."""

    slot: str
    seed: int
    spans: tuple[Span, ...]

    @property
    def label(self) -> str:
        """Return the seed's name for people."""
        return place(self.slot, self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRow:
    """Where one seed stands at the end of what the directory tells.

    since: epoch at which the stage was entered, None for a seed that never germinated.
    """

    slot: str
    seed: int
    stage: str = "DORMANT"
    blueprint: str | None = None
    since: int | None = None
    activations: int = 0
    alpha: float | None = None
    gain: float | None = None
    ablation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One decision that was more than waiting, or a refusal of one."""

    epoch: int
    what: str
    where: str
    reason: str


def place(slot: str, seed: int | None = None) -> str:
    """Return `block2 seed 0`; the slot without a name is the host itself."""
    return (slot or "host") + ("" if seed is None else f" seed {seed}")


def lanes(run: Run) -> list[Lane]:
    """Return a lane for every seed that ever germinated, by slot in order of first growth."""
    moves: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for move in run.of_kind("lifecycle"):
        moves.setdefault((move["slot"], move["seed"]), []).append(move)
    slots = list(dict.fromkeys(slot for slot, _ in moves))
    order = sorted(moves, key=lambda key: (slots.index(key[0]), key[1]))
    return [
        Lane(slot=slot, seed=seed, spans=_spans(moves[slot, seed], run.last_epoch))
        for slot, seed in order
    ]


def _spans(moves: list[dict[str, Any]], last_epoch: int) -> tuple[Span, ...]:
    """Return the stages in order; one entered and left at the same epoch has no length."""
    ends = [move["epoch"] for move in moves[1:]] + [max(last_epoch, moves[-1]["epoch"])]
    return tuple(
        Span(
            stage=move["to_stage"],
            blueprint=move["blueprint"],
            start=move["epoch"],
            end=end,
        )
        for move, end in zip(moves, ends, strict=True)
        if move["to_stage"] != "DORMANT"
    )


def seed_rows(run: Run) -> list[SeedRow]:
    """Return a row for every seed of every slot that the run's events name."""
    moves: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for move in run.of_kind("lifecycle"):
        moves.setdefault((move["slot"], move["seed"]), []).append(move)
    now = {
        (seed["slot"], seed["seed"]): seed
        for line in run.metrics[-1:]
        for seed in line.get("seeds", ())
    }
    slots = dict.fromkeys(
        event["slot"] for event in run.events if isinstance(event.get("slot"), str)
    )
    per_slot = (run.config.get("model") or {}).get("num_seeds")
    keys = {(slot, seed) for slot in slots for seed in range(per_slot or 0)} | moves.keys()
    order = list(slots)
    return [
        _row(key, moves.get(key, []), now.get(key, {}))
        for key in sorted(keys, key=lambda key: (order.index(key[0]), key[1]))
    ]


def _row(key: tuple[str, int], moves: list[dict[str, Any]], now: dict[str, Any]) -> SeedRow:
    if not moves:
        return SeedRow(slot=key[0], seed=key[1])
    return SeedRow(
        slot=key[0],
        seed=key[1],
        stage=moves[-1]["to_stage"],
        blueprint=moves[-1]["blueprint"],
        since=moves[-1]["epoch"],
        activations=sum(move["to_stage"] == "GERMINATED" for move in moves),
        alpha=now.get("alpha"),
        gain=now.get("gain"),
        ablation=now.get("ablation"),
    )


def verdicts(run: Run) -> list[Verdict]:
    """Return the decisions other than waiting, and the refusals, oldest first."""
    found = []
    for event in run.of_kind("decision", "safety"):
        refused = event["kind"] == "safety"
        wish = event["decision"] if refused else event
        kind = wish.get("kind" if refused else "decision_kind")
        if kind == "wait":
            continue
        what = " ".join(filter(None, (kind, wish.get("adaptation"))))
        found.append(
            Verdict(
                epoch=event["epoch"],
                what=f"{what} refused" if refused else what,
                where=place(wish.get("slot") or "", wish.get("seed")),
                reason=f"{event['rule']}: {event['reason']}" if refused else event["reason"],
            )
        )
    return found


def ledger(run: Run) -> list[dict[str, Any]]:
    """Return the last record of every arm, by slot, seed and blueprint."""
    last = {
        (event["slot"], event["seed"], event["blueprint"]): event for event in run.of_kind("ledger")
    }
    return [last[key] for key in sorted(last)]
