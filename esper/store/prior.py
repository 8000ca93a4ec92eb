"""The prior that is shipped with the package: what earlier runs found out about each pool.

`python -m experiments.make_prior` writes the file.  It holds one row for each task family, reward
model, slot kind, placement and blueprint, with numbers of all trials together, and how it was made.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from esper.contracts.checks import require_one_of
from esper.contracts.errors import DataError
from esper.contracts.ledger import PoolPrior
from esper.rundir.layout import write_json

FORMAT = 2
NONE, SHIPPED = "none", "shipped"
FILE = "prior.json"

_TEXTS = ("task_family", "reward_model", "slot_kind", "placement", "blueprint")


def shipped() -> Traversable:
    """Return the place of the prior's file in the package."""
    return resources.files("esper.store") / FILE


def check_prior(value: str) -> None:
    """Raise ValueError unless `store.prior` is `none` or `shipped`."""
    require_one_of("store.prior", value, (NONE, SHIPPED))


def pool_priors(value: str) -> list[PoolPrior]:
    """Return what `store.prior` expects of pools.

    Raises:
        DataError: if the shipped file is broken.
    """
    return [] if value == NONE else list(_shipped_pools())


@cache
def _shipped_pools() -> tuple[PoolPrior, ...]:
    return tuple(read_prior(shipped()))


def read_prior(path: Traversable) -> list[PoolPrior]:
    """Return the rows of the file `path`; raise DataError if it is no prior of this format."""
    where = f"the prior {path}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DataError(f"{where} is not of format {FORMAT}")
    if not isinstance(value.get("pools"), list):
        raise DataError(f"{where} must hold a list of pools")
    return [_row(item, f"{where}, pool {n}") for n, item in enumerate(value["pools"])]


def write_prior(path: Path, rows: Sequence[PoolPrior], made: Mapping[str, Any]) -> None:
    """Write the file `path`; `made` says by which command, configuration and version.

    Rows are sorted, and numbers have six digits, so that the same trials give the same bytes.
    """
    pools = sorted(
        ({name: _rounded(value) for name, value in asdict(row).items()} for row in rows),
        key=lambda row: [row[name] for name in (*_TEXTS, "is_late")],
    )
    write_json(path, {"format": FORMAT, **made, "pools": pools})


def _row(item: Any, where: str) -> PoolPrior:
    try:
        row = PoolPrior(**item)
    except TypeError as error:
        raise DataError(f"{where}: {error}") from error
    numbers = (row.mean_reward, row.spread, row.mean_gain)
    is_valid = (
        all(isinstance(getattr(row, name), str) for name in _TEXTS)
        and type(row.is_late) is bool
        and type(row.trials) is int
        and row.trials >= 1
        and all(map(_is_number, numbers[:2]))
        and row.spread >= 0
        and (row.mean_gain is None or _is_number(row.mean_gain))
    )
    if not is_valid:
        raise DataError(f"{where} has a value of a wrong type or size: {item!r:.200}")
    return row


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
