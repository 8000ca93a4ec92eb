"""The last words of a run."""

from collections.abc import Mapping
from typing import Any

from esper.telemetry.text import (
    count,
    decimal,
    duration,
    magnitude,
    percent,
    place,
    plural,
    signed_percent,
)


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
        words += f": test loss {decimal(summary['test_loss'])}"
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
