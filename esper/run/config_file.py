"""The options of a run as the plain values of `config.json`: convert and compare them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from esper.config import RunConfig
from esper.contracts.budget import AUTO
from esper.contracts.errors import CheckpointError, DataError
from esper.logger.serialise import plain
from esper.options import OPTIONS, option_name

FREE = ("name", "logger", "experiment", "store", "device")
"""Keys that may differ when a run is resumed; the ledger of `store` is in the checkpoint."""

BUDGETS = ("epochs", "budget")
"""Keys that may be larger when a run is resumed."""
_PRIOR = "store.prior"
"""A key of `store` that may not: a checkpoint holds what the run knew at its start."""


def config_values(config: RunConfig) -> dict[str, Any]:
    """Return the options as plain values; the first key of each group is its option's `name`."""
    values: dict[str, Any] = plain(config)
    for group in OPTIONS:
        values[group] = {"name": option_name(group, getattr(config, group)), **values[group]}
    return values


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of which `config_values` made these values.

    Raises:
        DataError: if this version of Esper lacks a key, or refuses a value.
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


def is_free(key: str) -> bool:
    """Return whether the value of a dotted key may differ when a run is resumed."""
    return key.split(".", maxsplit=1)[0] in (*FREE, *BUDGETS) and key != _PRIOR


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], epoch: int) -> None:
    """Refuse to resume a run under another configuration; `epochs` and `budget` may be larger.

    `before` and `now` are results of `config_values`, and `epoch` is the last finished one.

    Raises:
        CheckpointError: naming the first key that differs, and both values.
    """
    if now["epochs"] != AUTO and now["epochs"] < epoch:
        raise CheckpointError(f"epochs must be >= {epoch}, which are over, got {now['epochs']}")
    old, new = _leaves(before), _leaves(now)
    # Compare option names first, because another option has other keys.
    for key in sorted(old | new, key=lambda key: (not key.endswith(".name"), key)):
        if is_free(key):
            continue
        was, is_now = old.get(key, "not there"), new.get(key, "not there")
        if was != is_now:
            raise CheckpointError(
                f"the checkpoint is of another configuration: {key} was {was}, is {is_now} now"
            )


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a nested mapping by their dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
