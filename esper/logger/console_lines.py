"""What the console says while a run goes on: a line an epoch, a line a change that matters."""

from collections.abc import Callable, Mapping
from typing import Any

from esper.contracts.decision import Refusal
from esper.contracts.event import (
    Event,
    GovernorAction,
    KernelBuilt,
    LifecycleMove,
    Recovery,
    SeedPerformance,
)
from esper.contracts.stage import SeedStage
from esper.logger.format import (
    count,
    decimal,
    duration,
    magnitude,
    percent,
    place,
    plural,
    signed_percent,
)

HEADER = f"{'epoch':>9}  {'train loss':>10}  {'val loss':>10}  {'val acc':>8}  {'params':>12}  live"

_BUDGETS = frozenset(
    {"budget", "parameter_budget", "memory_budget", "max_live_seeds", "max_changes_per_epoch"}
)
_MOVES = {
    SeedStage.GERMINATED: ("+", "germinated"),
    SeedStage.BLENDING: (">", "blending"),
    SeedStage.FOSSILIZED: ("*", "fossilized"),
    SeedStage.CULLED: ("x", "culled"),
}


def epoch_line(line: Mapping[str, Any], epochs: int | None) -> str:
    """Return the epoch's row under `HEADER`."""
    epoch = f"{line['epoch']}/{epochs}" if epochs else str(line["epoch"])
    return (
        f"{epoch:>9}  {decimal(line.get('train_loss'), 4):>10}  "
        f"{decimal(line.get('val_loss'), 4):>10}  {percent(line.get('val_accuracy')):>8}  "
        f"{count(line.get('params')):>12}  {count(line.get('live_seeds')):>4}"
    )


class EventLines:
    """Words for the events that matter; remembers each seed's kernel and gain for its numbers."""

    def __init__(self) -> None:
        self._parameters: dict[tuple[str, int], int] = {}
        self._gains: dict[tuple[str, int], SeedPerformance] = {}
        self._told: set[str] = set()
        self._words: dict[type, Callable[[Any], str | None]] = {
            KernelBuilt: self._kernel,
            SeedPerformance: self._measured,
            LifecycleMove: self._move,
            Recovery: _recovery,
            GovernorAction: _governor,
            Refusal: self._refused,
        }

    def of(self, event: Event) -> str | None:
        """Return one line, or None for an event that only the files need to hold."""
        words = self._words.get(type(event.body))
        return None if words is None else words(event.body)

    def _refused(self, refusal: Refusal) -> str | None:
        """Tell of a budget once: it may be asked for again at every epoch."""
        if refusal.rule not in _BUDGETS or refusal.rule in self._told:
            return None
        self._told.add(refusal.rule)
        return f"! safety: {refusal.rule}: {refusal.reason}"

    def _measured(self, found: SeedPerformance) -> None:
        self._gains[found.slot, found.seed] = found

    def _kernel(self, built: KernelBuilt) -> str | None:
        self._parameters[built.slot, built.seed] = built.parameters
        if built.error is None:
            return None
        return f"! {place(built.slot, built.seed)}: {built.blueprint} refused: {built.error}"

    def _move(self, move: LifecycleMove) -> str | None:
        if move.to_stage not in _MOVES:
            return None
        sign, word = _MOVES[move.to_stage]
        key = move.slot, move.seed
        facts = [move.blueprint]
        if move.to_stage is SeedStage.GERMINATED:
            self._gains.pop(key, None)
            if key in self._parameters:
                facts.append(plural(self._parameters[key], "parameter"))
        if move.to_stage in (SeedStage.FOSSILIZED, SeedStage.CULLED) and key in self._gains:
            facts.append(_gain(self._gains[key]))
        line = f"{sign} {place(*key)} {word} ({', '.join(facts)})"
        return f"{line}: {move.reason}" if move.reason else line


def _gain(performance: SeedPerformance) -> str:
    if performance.gain is None:
        return f"ablation {signed_percent(performance.ablation)}"
    error = performance.gain_error
    margin = "" if error is None else f" +- {100 * error:.1f}"
    return f"gain {signed_percent(performance.gain)}{margin} by {performance.method}"


def _recovery(body: Recovery) -> str | None:
    # Of these a warning has told already.
    is_told = body.where in ("store", "stream", "checkpoint")
    return None if is_told else f"! recovery: {body.message}"


def _governor(body: GovernorAction) -> str:
    done = {
        "suspect": "the network is suspect",
        "rollback": f"rolled back to epoch {body.restored_epoch}",
        "end_growth": f"{plural(body.rollbacks, 'rollback')}: the run goes on without growth",
    }
    culled = f", {plural(body.culled, 'open kernel')} culled" if body.culled else ""
    return f"! governor: {done[body.action]}: {body.reason}{culled}"


def final_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return result, what grew, what it brought, what it cost and where it lies."""
    return [
        _result(summary),
        *_broken(summary),
        *_grown(summary),
        *_brought(summary),
        _cost(summary),
        *_where(summary),
    ]


def _result(summary: Mapping[str, Any]) -> str:
    status = summary.get("status") or "finished"
    words = f"{status.capitalize()} after {plural(summary.get('epochs') or 0, 'epoch')}"
    test, best = summary.get("test_accuracy"), summary.get("best_val_accuracy")
    if test is not None:
        words += f": test accuracy {percent(test)}"
    elif summary.get("test_loss") is not None:
        words += f": test loss {decimal(summary['test_loss'], 4)}"
    return words + (f" (best validation {percent(best)})." if best is not None else ".")


def _broken(summary: Mapping[str, Any]) -> list[str]:
    number = summary.get("epochs_not_finite") or 0
    if not number:
        return []
    epochs = plural(summary.get("epochs") or 0, "epoch")
    return [f"The loss was not finite in {number} of {epochs}: lower training.lr."]


def _grown(summary: Mapping[str, Any]) -> list[str]:
    grown = summary.get("grown") or []
    before, after = summary.get("params_initial"), summary.get("params_final")
    size = f"{count(before)} -> {count(after)} parameters"
    if before and after is not None:
        size += f" ({signed_percent((after - before) / before)})"
    if not grown:
        tried = summary.get("seeds_germinated") or 0
        return [f"Nothing grew for good: {plural(tried, 'kernel')} tried, {size}."]
    return [f"Grew {plural(len(grown), 'kernel')}: {size}.", *map(_kernel, grown)]


def _kernel(seed: Mapping[str, Any]) -> str:
    return (
        f"  {place(seed['slot'], seed['seed'])}: {seed['blueprint']}, "
        f"{plural(seed.get('parameters') or 0, 'parameter')}, "
        f"gain {signed_percent(seed.get('gain'))}"
    )


def _brought(summary: Mapping[str, Any]) -> list[str]:
    before, best = summary.get("best_before_growth"), summary.get("best_val_accuracy")
    if before is None or best is None or not summary.get("grown"):
        return []
    return [
        f"Validation accuracy {100 * (best - before):+.1f} points against the best before growth "
        f"({percent(before)}), the host's own progress included."
    ]


def _cost(summary: Mapping[str, Any]) -> str:
    germinated = summary.get("seeds_germinated") or 0
    culled = summary.get("seeds_culled") or 0
    words = (
        f"Cost: {magnitude(summary.get('train_flops'))}FLOPs of training, "
        f"{duration(summary.get('wall_s'))}, {culled} of {plural(germinated, 'trial')} culled"
    )
    share = summary.get("control_fraction")
    if share is not None:
        words += f", {percent(share)} of the time for control"
    if summary.get("rollbacks"):
        words += f", {plural(summary['rollbacks'], 'rollback')}"
    return words + "."


def _where(summary: Mapping[str, Any]) -> list[str]:
    run_dir = summary.get("run_dir")
    if not run_dir:
        return []
    return [f"Results: {run_dir}", f"Report:  esper report {run_dir}"]
