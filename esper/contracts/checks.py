"""Checks of options; each error names the key, the rule and the value."""

from collections.abc import Collection


def require(valid: bool, key: str, rule: str, value: object) -> None:
    """Raise ValueError `<key> must be <rule>, got <value>` unless `valid`."""
    if not valid:
        raise ValueError(f"{key} must be {rule}, got {value}")


def require_one_of(key: str, value: str, allowed: Collection[str]) -> None:
    """Raise ValueError `<key> must be one of <allowed>, got '<value>'` unless it is one."""
    require(value in allowed, key, f"one of {', '.join(allowed)}", repr(value))


def require_whole(key: str, value: int, least: int) -> None:
    """Raise ValueError `<key> must be a whole number >= <least>, got <value>` unless it is one."""
    valid = isinstance(value, int) and value >= least
    require(valid, key, f"a whole number >= {least}", repr(value))
