"""Time of a modification, from the plan to the changed network, when its kernel is ready.

The network is the default one after a few steps, so that its optimizer has state.  Every round
germinates the same seed in a fresh copy of it.  A second figure includes the copy for the twin.
"""

import statistics
from time import perf_counter

from esper.attribution.options import Attribution
from esper.attribution.trials import Trials
from esper.growth.host import Host
from esper.kernels.pipeline import build_kernel
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.growing import METRICS, bench_of, germination, host_of
from experiments.benchmarks.steps import trained

GOAL_MS = 5.0
WARM_UP = 5


def modification(rounds: int = 100) -> list[Figure]:
    """Return the median milliseconds of a modification, without and with a twin."""
    bench = bench_of("cnn")
    host = host_of(bench.bare, bench.example)
    train = trained(host.model, host.optimizer, bench, num_steps=1)
    for number in range(WARM_UP):
        train(number)
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(WARM_UP + rounds):
        for with_twin, spans in times.items():
            span = _modify(host.copy(), with_twin=with_twin)
            if number >= WARM_UP:
                spans.append(span)
    plain, twin = (statistics.median(spans) for spans in times.values())
    return [
        Figure(
            name="modification/kernel_ready",
            value=plain,
            unit="ms",
            goal=GOAL_MS,
            reference="a claim of 500 ms",
        ),
        Figure(
            name="modification/with_twin",
            value=twin,
            unit="ms",
            goal=None,
            reference=f"{plain:.3g} ms without the copy of network and optimizer",
        ),
    ]


def _modify(host: Host, *, with_twin: bool) -> float:
    slot = next(iter(host.slots))
    plan = germination(host, slot, 0)
    blueprint = host.seed(slot, 0).bound
    ready = {(0, blueprint): build_kernel(host.request(slot, 0, blueprint, rng_seed=0))}
    pending = Trials(host, Attribution(method="twin" if with_twin else "muting"))
    began = perf_counter()
    applied = pending.apply(plan, ready, METRICS)
    span = (perf_counter() - began) * 1e3
    assert [built.seed for built in applied.built] == [0], "the plan germinates one seed"
    return span
