"""The benchmark of the probe: its dense network, and that it probes in every round."""

from experiments.benchmarks import probe
from experiments.benchmarks.growing import host_of


def test_the_dense_network_has_a_slot_for_each_of_its_blocks() -> None:
    bench = probe.dense_bench(2)
    host = host_of(bench.bare, bench.example)
    assert len(host.slots) == probe.NUM_BLOCKS
    assert bench.steps_per_epoch * probe.BATCH >= probe.MANY


def test_a_policy_that_reads_health_is_the_heuristic_one() -> None:
    policy = probe.Reading().build(0)
    assert policy.reads_health
    assert policy.name == "heuristic"


def test_every_round_probes_the_network() -> None:
    bench = probe.dense_bench(2)
    host = host_of(bench.bare, bench.example)
    calls: list[int] = []
    host.model.register_forward_hook(lambda *_: calls.append(len(calls)))
    work = probe.probed(host, bench)
    work(0)
    work(1)
    assert len(calls) == 2
