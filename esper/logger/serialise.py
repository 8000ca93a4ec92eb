"""Convert events and epoch lines to plain JSON values.

Unknown numbers (NaN, infinities) become null, so that every line is valid JSON.  Only an event's
`time` and the fields whose names end in `_ms` or `_s` are read from a clock.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any

from esper.contracts.event import Event, Gate

_AS_IT_IS = (str, int, bool, type(None))
_HEAD = frozenset({"time", "epoch", "kind"})


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def event_record(event: Event, time: str) -> dict[str, Any]:
    """Return `{time, epoch, kind, **body}`.

    A field of the body with one of the first three names gets the event's kind as a prefix, such as
    `decision_kind` and `plan_kind`.
    """
    record: dict[str, Any] = {"time": time, "epoch": event.epoch, "kind": str(event.kind)}
    for name, value in plain(event.body).items():
        record[f"{event.kind}_{name}" if name in _HEAD else name] = value
    return record


def plain(value: Any) -> Any:
    """Return `value` made of dicts, lists, strings, finite numbers, booleans and None.

    Raises:
        TypeError: if a value has no plain form, such as a tensor.
    """
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is float:
        return value if isfinite(value) else None
    if is_dataclass(value):
        head = {"passed": value.passed} if isinstance(value, Gate) else {}
        return head | {name: plain(getattr(value, name)) for name in _field_names(value.__class__)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _plain_scalar(value)


def to_line(record: dict[str, Any]) -> str:
    """Return `record` as one line of JSON, with its newline."""
    return json.dumps(plain(record), allow_nan=False, ensure_ascii=False) + "\n"


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return plain(float(value))
    if isinstance(value, frozenset | set):
        return sorted(plain(item) for item in value)
    if isinstance(value, PathLike):
        return fspath(value)
    raise TypeError(f"a telemetry record cannot hold a {type(value).__name__}: {value!r}")
