"""Which blueprints a seed that was culled may try next."""

from esper.contracts.slot import free_bindings, next_binding

CATALOGUE = ("a", "b", "c", "d")


def test_a_culled_seed_may_try_what_no_other_seed_is_bound_to_its_own_last() -> None:
    assert free_bindings(CATALOGUE, ["a", "b"], 0) == ["c", "d", "a"]
    assert free_bindings(CATALOGUE, ["a", "d"], 1) == ["b", "c", "d"]
    assert next_binding(CATALOGUE, ["a", "b"], 0) == "c"


def test_it_keeps_its_own_if_the_others_hold_all_the_rest() -> None:
    assert free_bindings(CATALOGUE, ["a", "b", "c", "d"], 1) == ["b"]


def test_it_takes_the_next_in_turn_if_the_others_hold_every_blueprint() -> None:
    assert free_bindings(CATALOGUE, ["a", "b", "c", "d", "b"], 1) == ["c", "d", "a", "b"]
