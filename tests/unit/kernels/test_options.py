import math
from typing import Any

import pytest

from esper.kernels.options import Kernels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_parameters": -1}, "kernels.max_parameters must be >= 0 and finite, or null, got -1"),
        ({"max_flops": math.nan}, "kernels.max_flops must be >= 0 and finite, or null, got nan"),
        ({"max_memory_mb": math.inf}, "kernels.max_memory_mb must be >= 0 and finite, or null"),
        ({"disk_mb": -0.5}, "kernels.disk_mb must be >= 0 and finite, got -0.5"),
        ({"memory_entries": -1}, "kernels.memory_entries must be >= 0 and finite, got -1"),
        ({"ahead_mb": -1.0}, "kernels.ahead_mb must be >= 0 and finite, got -1.0"),
        ({"cache_dir": " "}, r"kernels.cache_dir must be a folder, or null .*, got ' '"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Kernels(**options)


def test_limits_can_be_0_and_can_be_absent() -> None:
    assert Kernels(max_parameters=0, max_memory_mb=None, max_flops=0.0).max_memory_mb is None
