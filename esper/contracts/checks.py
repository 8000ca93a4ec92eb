"""Refuse the value of an option by its key, the rule and the value."""


def require(valid: bool, key: str, rule: str, value: object) -> None:
    """Refuse the value of an option unless `valid`.

    Raises:
        ValueError: `<key> must be <rule>, got <value>`.
    """
    if not valid:
        raise ValueError(f"{key} must be {rule}, got {value}")
