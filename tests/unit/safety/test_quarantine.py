import json

from esper.contracts.event import Recovery
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.safety.quarantine import Quarantine
from tests.unit.growth.builders import grow, make_host

FAILURE = Recovery(
    where="kernel",
    error="ValueError",
    strategy="fallback",
    recovered=False,
    message="mistake",
    slot="block1",
    seed=2,
    blueprint="conv",
)


def bound(host: Host) -> list[str]:
    return [seed.bound for seed in host.slots["block1"].seeds]


def test_the_failure_that_reaches_the_limit_is_told_once_as_no_recovery() -> None:
    quarantine = Quarantine(2)
    told = [quarantine.blame("conv", FAILURE) for _ in range(3)]
    assert [len(each) for each in told] == [0, 1, 0]
    (found,) = told[1]
    assert (found.strategy, found.recovered, found.blueprint) == ("quarantine", False, "conv")
    assert (found.slot, found.seed, found.error) == ("block1", 2, "ValueError")
    assert quarantine.names == {"conv"}


def test_failures_of_one_blueprint_are_not_anothers() -> None:
    quarantine = Quarantine(2)
    quarantine.blame("conv", FAILURE)
    quarantine.blame("mlp", FAILURE)
    assert quarantine.names == frozenset()


def test_counts_and_names_go_through_json() -> None:
    quarantine, other = Quarantine(2), Quarantine(2)
    for name in ("conv", "conv", "mlp"):
        quarantine.blame(name, FAILURE)
    other.load_state_dict(json.loads(json.dumps(quarantine.state_dict())))
    assert other.names == {"conv"}
    assert other.blame("mlp", FAILURE) != []


def test_dormant_seeds_are_bound_to_what_no_other_seed_waits_for() -> None:
    host, quarantine = make_host("mlp"), Quarantine(1)
    first = bound(host)
    quarantine.blame(first[0], FAILURE)
    quarantine.bind_anew(host)
    catalogue = host.slots["block1"].spec.catalogue
    expected = next(name for name in catalogue if name not in first)
    assert bound(host) == [expected, *first[1:]]


def test_what_is_in_the_network_keeps_its_name_and_nothing_else_on_offer_changes_nothing() -> None:
    host, quarantine = make_host("mlp"), Quarantine(1)
    grow(host, "block1", 0, "mlp")
    first = bound(host)
    for name in host.slots["block1"].spec.catalogue:
        quarantine.blame(name, FAILURE)
    quarantine.bind_anew(host)
    assert bound(host) == first
    quarantine.load_state_dict({"names": ["mlp"], "failures": {}})
    quarantine.bind_anew(host)
    assert host.seed("block1", 0).stage is SeedStage.TRAINING
    assert host.seed("block1", 0).bound == "mlp"
