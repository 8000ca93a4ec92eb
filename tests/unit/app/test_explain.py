"""Keys of earlier versions are refused by a line that names what replaced them."""

import pytest

from esper.app.explain import MOVED_KEYS, unknown_key
from esper.kernels.options import Kernels
from esper.strategy.viability import Viability


@pytest.mark.parametrize(
    ("key", "schema", "line"),
    [
        (
            "kernels.max_parameters",
            Kernels,
            "unknown key kernels.max_parameters: it is now safety.parameter_budget",
        ),
        (
            "viability.memory_budget_mb",
            Viability,
            "unknown key viability.memory_budget_mb: it is now safety.memory_budget_mb",
        ),
        (
            "kernels.disk_mb",
            Kernels,
            "unknown key kernels.disk_mb: it is gone: verdicts on kernels are kept in memory only",
        ),
    ],
)
def test_a_moved_key_is_refused_by_the_name_of_the_new_one(
    key: str, schema: type, line: str
) -> None:
    assert unknown_key(key, schema) == line


@pytest.mark.parametrize("key", MOVED_KEYS)
def test_every_moved_key_is_one_line(key: str) -> None:
    line = unknown_key(key, None)
    assert line.startswith(f"unknown key {key}: it is ")
    assert "\n" not in line


def test_another_unknown_key_is_refused_by_its_near_matches() -> None:
    assert "did you mean viability.min_dormant_epochs?" in unknown_key(
        "viability.min_dormant_epoch", Viability
    )
