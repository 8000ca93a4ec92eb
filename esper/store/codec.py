"""An entry as JSON holds it, and back, with every value checked."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, get_args, get_type_hints

from esper.contracts.ledger import LedgerEntry

_HINTS = get_type_hints(LedgerEntry)
_NEEDED = {field.name for field in fields(LedgerEntry) if field.default is MISSING}


def to_json(entry: LedgerEntry) -> str:
    """Return `entry` as one line of JSON."""
    return json.dumps(asdict(entry), allow_nan=False, ensure_ascii=False)


def to_entry(values: Any) -> LedgerEntry:
    """Return the entry that a decoded JSON object holds.

    Raises:
        ValueError: saying what is missing, unknown or of a wrong kind.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"an entry is an object, got {values!r:.80}")
    missing = sorted(_NEEDED - set(values))
    unknown = sorted(set(values) - set(_HINTS))
    if missing or unknown:
        words = [f"no {name}" for name in missing] + [f"unknown {name!r}" for name in unknown]
        raise ValueError(", ".join(words))
    return LedgerEntry(**{name: _checked(name, value) for name, value in values.items()})


def _checked(name: str, value: Any) -> Any:
    kinds = get_args(_HINTS[name]) or (_HINTS[name],)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        wanted = " or ".join(kind.__name__ for kind in kinds).replace("NoneType", "null")
        raise ValueError(f"{name} must be {wanted}, got {value!r:.80}")
    return value
