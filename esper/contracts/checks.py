"""Checks of options; each error names the key, the rule and the value."""

from collections.abc import Collection
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

_IN_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    tuple: "a list of whole numbers",
    NoneType: "None",
}


def require(valid: bool, key: str, rule: str, value: object) -> None:
    """Raise ValueError `<key> must be <rule>, got <value>` unless `valid`."""
    if not valid:
        raise ValueError(f"{key} must be {rule}, got {value}")


def require_one_of(key: str, value: str, allowed: Collection[str]) -> None:
    """Raise ValueError `<key> must be one of <allowed>, got '<value>'` unless it is one."""
    require(value in allowed, key, f"one of {', '.join(allowed)}", repr(value))


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, of NumPy too; a truth is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> bool:
    """Return whether a value is a real number, of NumPy too; a truth is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def require_whole(key: str, value: int, least: int) -> None:
    """Raise ValueError `<key> must be a whole number >= <least>, got <value>` unless it is one."""
    valid = is_whole(value) and value >= least
    require(valid, key, f"a whole number >= {least}", repr(value))


def require_types(options: Any, group: str) -> None:
    """Raise ValueError unless each field of a dataclass has the type that its class declares.

    A whole number serves as a real one, and a list as a tuple; a truth is no number.
    """
    for name, declared in get_type_hints(type(options)).items():
        kinds = get_args(declared) if NoneType in get_args(declared) else (declared,)
        value = getattr(options, name)
        if not any(_is_of(value, kind) for kind in kinds):
            rule = " or ".join(_IN_WORDS[get_origin(kind) or kind] for kind in kinds)
            require(False, f"{group}.{name}", rule, repr(value))


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        is_list = isinstance(value, tuple | list)
        return is_list and all(_is_of(each, get_args(kind)[0]) for each in value)
    if kind in (int, float):
        return is_real(value) if kind is float else is_whole(value)
    return isinstance(value, kind)
