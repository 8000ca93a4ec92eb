"""The verdict that is foreseen for a blueprint in place of a culled kernel."""

import pytest

from esper.contracts.slot import Prospect
from esper.contracts.stage import SeedStage
from esper.policy.rules.verdict import VerdictRules, would_keep
from tests.unit.policy.builders import make_look, make_seed


@pytest.mark.parametrize(
    ("expected", "added", "is_kept"),
    [(0.018, 0.0, True), (0.017, 0.0, False), (0.027, 1.0, False), (0.028, 1.0, True)],
)
def test_a_prospect_is_judged_as_at_a_last_look(
    expected: float, added: float, *, is_kept: bool
) -> None:
    # The look at the seed, not its last, has a bar of 0.03; a doubling of FLOPs costs 0.01.
    seed = make_seed(SeedStage.PROBATIONARY, gain=-0.1, look=make_look(4, bar=0.03))
    prospect = Prospect(blueprint="mlp", expected_gain=expected, added_flops=added)
    assert would_keep(prospect, seed, VerdictRules()) is is_kept
