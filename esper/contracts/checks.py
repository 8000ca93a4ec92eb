"""Refuse the value of an option by its key, the rule and the value."""

from collections.abc import Collection


def require(valid: bool, key: str, rule: str, value: object) -> None:
    """Refuse the value of an option unless `valid`.

    Raises:
        ValueError: `<key> must be <rule>, got <value>`.
    """
    if not valid:
        raise ValueError(f"{key} must be {rule}, got {value}")


def require_one_of(key: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a word that is not among those allowed.

    Raises:
        ValueError: `<key> must be one of <allowed>, got '<value>'`.
    """
    require(value in allowed, key, f"one of {', '.join(allowed)}", repr(value))


def require_whole(key: str, value: int, least: int) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        ValueError: `<key> must be a whole number >= <least>, got <value>`.
    """
    valid = isinstance(value, int) and value >= least
    require(valid, key, f"a whole number >= {least}", repr(value))
