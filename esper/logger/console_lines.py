"""The console's lines: one per epoch, one per important event, and the result at the end."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
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
from esper.contracts.size import Milestone, Resized
from esper.contracts.stage import MARKS, SeedStage
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


def epoch_line(line: Mapping[str, Any], epochs: int | None) -> str:
    """Return the epoch's row under `HEADER`."""
    epoch = f"{line['epoch']}/{epochs}" if epochs else str(line["epoch"])
    return (
        f"{epoch:>9}  {decimal(line.get('train_loss'), 4):>10}  "
        f"{decimal(line.get('val_loss'), 4):>10}  {percent(line.get('val_accuracy')):>8}  "
        f"{count(line.get('params')):>12}  {count(line.get('live_seeds')):>4}"
    )


class EventLines:
    """Describes important events; keeps each seed's kernel size and gain until its verdict."""

    def __init__(self) -> None:
        self._parameters: dict[tuple[str, int], int] = {}
        self._gains: dict[tuple[str, int], SeedPerformance] = {}
        self._reported_rules: set[str] = set()
        self._describe: dict[type, Callable[[Any], str | None]] = {
            KernelBuilt: self._kernel,
            SeedPerformance: self._measured,
            LifecycleMove: self._move,
            Recovery: _recovery,
            GovernorAction: _governor,
            Resized: _resized,
            Milestone: _milestone,
            Refusal: self._refused,
        }

    def of(self, event: Event) -> str | None:
        """Return one line, or None for an event that the console does not show."""
        describe = self._describe.get(type(event.body))
        return None if describe is None else describe(event.body)

    def _refused(self, refusal: Refusal) -> str | None:
        """Describe only the first refusal by each budget, which may repeat at every epoch."""
        if refusal.rule not in _BUDGETS or refusal.rule in self._reported_rules:
            return None
        self._reported_rules.add(refusal.rule)
        return f"! safety: {refusal.rule}: {refusal.reason}"

    def _measured(self, performance: SeedPerformance) -> None:
        self._gains[performance.slot, performance.seed] = performance

    def _kernel(self, built: KernelBuilt) -> str | None:
        self._parameters[built.slot, built.seed] = built.parameters
        if built.error is None:
            return None
        return f"! {place(built.slot, built.seed)}: {built.blueprint} refused: {built.error}"

    def _move(self, move: LifecycleMove) -> str | None:
        if move.to_stage not in MARKS:
            return None
        key = move.slot, move.seed
        facts = [move.blueprint]
        if move.to_stage is SeedStage.GERMINATED:
            self._gains.pop(key, None)
            if key in self._parameters:
                facts.append(plural(self._parameters[key], "parameter"))
        if move.to_stage in (SeedStage.FOSSILIZED, SeedStage.CULLED) and key in self._gains:
            facts.append(_gain(self._gains[key]))
        word = move.to_stage.lower()
        line = f"{MARKS[move.to_stage]} {place(*key)} {word} ({', '.join(facts)})"
        return f"{line}: {move.reason}" if move.reason else line


def _gain(performance: SeedPerformance) -> str:
    if performance.gain is None:
        return f"ablation {signed_percent(performance.ablation)}"
    gain = signed_percent(performance.gain, performance.gain_error)
    return f"gain {gain} by {performance.method}"


def _recovery(body: Recovery) -> str | None:
    # A logged warning has reported these already.
    is_logged = body.where in ("store", "stream", "checkpoint")
    return None if is_logged else f"! recovery: {body.message}"


def _governor(body: GovernorAction) -> str:
    done = {
        "suspect": "the network is suspect",
        "rollback": f"rolled back to epoch {body.restored_epoch}",
        "end_growth": f"{plural(body.rollbacks, 'rollback')}: the run continues without growth",
    }
    culled = f", {plural(body.culled, 'open kernel')} culled" if body.culled else ""
    return f"! governor: {done[body.action]}: {body.reason}{culled}"


def _resized(body: Resized) -> str:
    size = f"{count(body.parameters_before)} -> {count(body.parameters_after)} parameters"
    word = "wider" if body.parameters_after > body.parameters_before else "back"
    return f"= {word}, {body.width} times its first width ({size}): {body.reason}"


def _milestone(body: Milestone) -> str:
    accuracy = "" if body.val_accuracy is None else f", accuracy {percent(body.val_accuracy)}"
    return (
        f"so far {magnitude(body.flops)}FLOPs: best network of epoch {body.best_epoch}, validation "
        f"loss {decimal(body.val_loss, 4)}{accuracy}, {count(body.parameters)} parameters"
    )


def final_lines(summary: Mapping[str, Any], why_waited: str | None = None) -> list[str]:
    """Return the result, the kept kernels, the cost, and the folder and command to see more.

    `why_waited`, as of `Waiting.most`, is told of a run that tried no kernel.
    """
    lines = [_result(summary)]
    if summary.get("epochs_not_finite"):
        epochs = f"{summary['epochs_not_finite']} of {plural(summary.get('epochs') or 0, 'epoch')}"
        lines.append(f"The loss was not finite in {epochs}: lower training.lr.")
    lines += _grown(summary)
    has_grown = summary.get("seeds_germinated") != 0 or summary.get("width", 1) > 1
    if why_waited is not None and not has_grown:
        lines.append(f"Nothing was tried. Reason in {why_waited}.")
    lines.append(_cost(summary))
    if ledger := ledger_line(summary):
        lines.append(f"{ledger[0].upper()}{ledger[1:]}.")
    if run_dir := summary.get("run_dir"):
        lines += [f"Results: {run_dir}", f"Report:  esper report {run_dir}"]
    return lines


def ledger_line(summary: Mapping[str, Any]) -> str | None:
    """Return what the run read from its store, and as of when; None without a store."""
    told = summary.get("ledger_snapshot")
    if told is None:
        return None
    num_read, num_comparable = summary["ledger_entries_read"], told.get("comparable")
    entries = plural(num_read, "ledger entry", "ledger entries")
    words = f"read {entries} of {plural(told['runs'], 'run')}"
    if num_comparable is not None and num_comparable < num_read:
        words += f" ({num_comparable} of this task family and reward model)"
    if told["taken_s"] is None:
        return words
    words += f" as of {datetime.fromtimestamp(told['taken_s'], UTC):%Y-%m-%d %H:%M:%S} UTC"
    if told["launcher"] is None:
        return words
    order = "one after another" if told["launcher"] == "basic" else "side by side"
    return f"{words}, jobs {order}"


def _result(summary: Mapping[str, Any]) -> str:
    status = summary.get("status") or "finished"
    words = f"{status.capitalize()} after {plural(summary.get('epochs') or 0, 'epoch')}"
    if (stop := summary.get("stopped_by", "epochs")) != "epochs":
        words += " by its budget" if stop == "budget" else f" by {stop}"
    test = summary.get("test_accuracy")
    if test is not None:
        words += f": test accuracy {percent(test)}{_read_out(summary)}"
    elif summary.get("test_loss") is not None:
        words += f": test loss {decimal(summary['test_loss'], 4)}"
    return words + "."


def _read_out(summary: Mapping[str, Any]) -> str:
    epoch, accuracy = summary.get("read_out_epoch"), summary.get("read_out_val_accuracy")
    words = "" if epoch is None else f" with the network of epoch {epoch}"
    return words + ("" if accuracy is None else f" (validation {percent(accuracy)})")


def _grown(summary: Mapping[str, Any]) -> list[str]:
    grown = summary.get("grown") or []
    before, after = summary.get("params_initial"), summary.get("params_final")
    size = f"{count(before)} -> {count(after)} parameters"
    if before and after is not None:
        size += f" ({signed_percent((after - before) / before)})"
    width, tried = summary.get("width", 1), plural(summary.get("seeds_germinated") or 0, "kernel")
    if width > 1:
        size += f", {width} times its first width"
    if not grown:
        what = "Nothing grew for good" if width == 1 else "Grew as a whole"
        return [f"{what}: {tried} tried, {size}."]
    return [
        f"Grew {plural(len(grown), 'kernel')}: {size}.",
        *(
            f"  {place(seed['slot'], seed['seed'])}: {seed['blueprint']}, "
            f"{plural(seed.get('parameters') or 0, 'parameter')}, "
            f"gain {signed_percent(seed.get('gain'))}"
            for seed in grown
        ),
    ]


def _ratio(summary: Mapping[str, Any]) -> str:
    ratio = summary.get("cost_ratio")
    return "" if ratio is None else f"{ratio:.2f} times those of its network trained plainly, "


def _cost(summary: Mapping[str, Any]) -> str:
    trials = plural(summary.get("seeds_germinated") or 0, "trial")
    words = (
        f"Cost: {magnitude(summary.get('train_flops'))}FLOPs of training, "
        f"{_ratio(summary)}{duration(summary.get('wall_s'))}, "
        f"{summary.get('seeds_culled') or 0} of {trials} culled"
    )
    if (share := summary.get("control_fraction")) is not None:
        words += f", {percent(share)} of the time for control"
    if summary.get("rollbacks"):
        words += f", {plural(summary['rollbacks'], 'rollback')}"
    return words + "."
