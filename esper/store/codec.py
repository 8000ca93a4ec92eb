"""Convert ledger entries to JSON values and back, with every value checked."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, get_args, get_type_hints

from esper.contracts.errors import DataError
from esper.contracts.ledger import LedgerEntry

_HINTS = get_type_hints(LedgerEntry)
_REQUIRED = {field.name for field in fields(LedgerEntry) if field.default is MISSING}


def to_json(entry: LedgerEntry) -> str:
    """Return `entry` as one line of JSON."""
    return json.dumps(asdict(entry), allow_nan=False, ensure_ascii=False)


def to_entry(values: Any, where: str) -> LedgerEntry:
    """Return the entry with the values of a JSON object, given decoded or as text.

    Raises:
        DataError: `<where>: <problem>` if a value is missing, unknown or of a wrong type.
    """
    try:
        return _entry(json.loads(values) if isinstance(values, str) else values)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _entry(values: Any) -> LedgerEntry:
    if not isinstance(values, Mapping):
        raise ValueError(f"an entry is an object, got {values!r:.80}")
    words = [f"no {name}" for name in sorted(_REQUIRED - set(values))]
    words += [f"unknown {name!r}" for name in sorted(set(values) - set(_HINTS))]
    if words:
        raise ValueError(", ".join(words))
    return LedgerEntry(**{name: _checked(name, value) for name, value in values.items()})


def _checked(name: str, value: Any) -> Any:
    kinds = get_args(_HINTS[name]) or (_HINTS[name],)
    if Ellipsis in kinds:
        each = get_args(kinds[0]) or (kinds[0],)
        if type(value) in (list, tuple) and all(type(item) in (int, *each) for item in value):
            return tuple(None if item is None else float(item) for item in value)
        raise ValueError(f"{name} must be a list of numbers, got {value!r:.80}")
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        allowed = " or ".join(kind.__name__ for kind in kinds).replace("NoneType", "null")
        raise ValueError(f"{name} must be {allowed}, got {value!r:.80}")
    return value
