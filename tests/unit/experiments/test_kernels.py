"""The benchmark of the kernel pipeline, small: it asks for what it says, and counts right."""

from collections import Counter
from random import Random

from esper.blueprint import catalogue
from esper.contracts.slot import Placement, SlotKind
from experiments.benchmarks.kernel_requests import WRONG, draw, wrong_blueprints
from experiments.benchmarks.kernels import requested, work_share


def test_requests_are_of_every_kind_and_repeat_themselves() -> None:
    with wrong_blueprints():
        asked, again = ([draw(rng) for _ in range(2000)] for rng in (Random(3), Random(3)))
    assert [(a.blueprint, a.reason) for a in asked] == [(a.blueprint, a.reason) for a in again]
    reasons = Counter(a.reason for a in asked)
    assert 0.65 < reasons[None] / len(asked) < 0.75
    assert set(reasons) >= {"unknown blueprint", "does not fit", "costs too much", None}
    assert set(reasons) >= {reason for _, reason in WRONG.values()}
    assert {a.blueprint for a in asked if a.reason is None} == set(catalogue.BUILT_IN)
    specs = [a.host.slots[""].spec for a in asked if a.reason is None]
    assert {(s.kind, s.placement) for s in specs} == {(k, p) for k in SlotKind for p in Placement}
    assert not set(WRONG) & set(catalogue.names()), "nothing is left in the catalogue"


def test_what_can_be_had_is_had_and_the_rest_is_refused_with_its_reason() -> None:
    lost, let_through, cached = requested(num_requests=200)
    assert (lost.value, let_through.value) == (0, 0)
    assert lost.ok is let_through.ok is True
    assert cached.value > 0


def test_the_share_of_a_run_is_a_share() -> None:
    assert 0 <= work_share(epochs=2).value < 1
