"""The options of a run as plain values, which `config.json` and every checkpoint hold."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from esper.config import RunConfig
from esper.contracts.errors import DataError
from esper.logger.serialise import plain
from esper.options import OPTIONS, option_name


def config_values(config: RunConfig) -> dict[str, Any]:
    """Return the options as plain values; each group has its option's `name` as first key."""
    values: dict[str, Any] = plain(config)
    for group in OPTIONS:
        values[group] = {"name": option_name(group, getattr(config, group)), **values[group]}
    return values


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration with the values that `config_values` gave.

    Raises:
        DataError: if a value is missing, unknown or refused by this version of Esper.
    """
    kinds = {field.name: field.type for field in fields(RunConfig)}
    try:
        return RunConfig(**{key: _option(kinds, key, value) for key, value in values.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"it is no configuration of this version of Esper: {error}") from error


def _option(kinds: Mapping[str, Any], key: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if key not in OPTIONS:
        return kinds[key](**value)
    settings = dict(value)
    return OPTIONS[key][settings.pop("name")](**settings)
