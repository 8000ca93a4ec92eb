"""Turn each error of Hydra and OmegaConf into one line: key, value and what is allowed."""

import re
import types
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from esper.options import OPTIONS

_IS_GONE = "is gone: verdicts on kernels are kept in memory only"

MOVED_KEYS = {
    "kernels.max_parameters": "is now safety.parameter_budget",
    "kernels.max_memory_mb": "is now safety.memory_budget_mb",
    "viability.memory_budget_mb": "is now safety.memory_budget_mb",
    "growth.attribution": "is now attribution.method",
    "growth.twin_epochs": "is gone: attribution.looks sets the ages of the verdicts",
    "growth.window": "is gone: weights are averaged over run.average epochs",
    "training.grow_until": "is now policy.grow_until (growth) and training.decay_from (schedule)",
    "policy.until": "is now policy.grow_until",
    "kernels.cache_dir": _IS_GONE,
    "kernels.disk_mb": _IS_GONE,
    "kernels.ahead": _IS_GONE,
    "kernels.ahead_mb": _IS_GONE,
    "kernels.memory_entries": _IS_GONE,
}
"""Keys of earlier versions, each with its replacement or the reason for its removal."""

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
}


def explain(error: HydraException | OmegaConfBaseException | ValueError) -> str:
    """Return one line that names the refused key or value, and what is allowed."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"'{error.override}' is no override; write key=value"
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if text.startswith("Ambiguous value"):
        return f"{_first_line(text)}: add -m to sweep over it, or write [a,b] for a list"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    return _explain_cause(cause, text)


def _explain_cause(cause: BaseException | None, text: str) -> str:
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return unknown_key(str(cause.full_key), cause.object_type)
    if isinstance(cause, ValidationError):
        return _wrong_type(cause, text)
    if isinstance(cause, MissingMandatoryValue):
        key = str(cause.full_key)
        if key in OPTIONS:
            return f"{key} must be chosen, one of {', '.join(OPTIONS[key])}"
        return f"{key} must be given a value"
    lines = dict.fromkeys((_first_line(text), _first_line(str(cause or ""))))
    return ": ".join(filter(None, lines))


def unknown_key(key: str, schema: type[Any] | None) -> str:
    """Return the line for a key that `schema`, the class of an option, lacks."""
    if key in MOVED_KEYS:
        return f"unknown key {key}: it {MOVED_KEYS[key]}"
    parent, _, last = key.rpartition(".")
    if schema is None or not is_dataclass(schema):
        return f"unknown key {key}"
    known = [option.name for option in fields(schema)]
    names = [name for name, kind in OPTIONS.get(parent, {}).items() if kind is schema]
    of = f" of {parent}={names[0]}" if len(names) == 1 else ""
    near = [f"{parent}.{name}".lstrip(".") for name in get_close_matches(last, known, n=2)]
    return f"unknown key {key}{_hint(near, known or ['none'], f'keys{of}')}"


def _hint(near: Iterable[str], allowed: Iterable[str], label: str) -> str:
    meant = " or ".join(near)
    question = f"; did you mean {meant}?" if meant else ""
    return f"{question} ({label}: {', '.join(allowed)})"


def _unknown_option(error: MissingConfigException) -> str:
    file = error.missing_cfg_file or ""
    group, _, option = file.rpartition("/")
    listed = re.search(r"Available options in '.*':\n((?:\t.*\n?)*)", str(error))
    if not group or listed is None:
        return f"there is no configuration named '{file}'"
    allowed = [name for name in listed.group(1).split() if not name.endswith("_schema")]
    near = get_close_matches(option, allowed, n=2)
    return f"unknown option {group}={option}{_hint(near, allowed, 'allowed')}"


def _wrong_type(cause: ValidationError, text: str) -> str:
    key = str(cause.full_key)
    given = text.partition(f"{key}=")[2]
    schema: Any = cause.object_type
    kinds = {each.name: each.type for each in fields(schema)} if is_dataclass(schema) else {}
    kind = kinds.get(key.rpartition(".")[2])
    if kind is None:
        return f"{key}: {_first_line(str(cause))}"
    return f"{key} must be {_type_words(kind, key)}" + (f", got {given}" if given else "")


def _type_words(kind: Any, key: str) -> str:
    if is_dataclass(kind):
        return f"set by its keys, {key}.<key>=<value>"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_type_words(part, key) for part in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list, {key}=[a,b]"
    return _WORDS.get(kind, str(kind))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(". ")
