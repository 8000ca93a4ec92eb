"""The latency of a kernel's calls."""

from esper.kernels.latency import Latencies


def test_a_latency_is_the_median_of_three_calls_or_more() -> None:
    latencies = Latencies()
    assert latencies.median(0) is None
    for latency_ms in (9.0, 0.5):
        latencies.add(0, latency_ms)
    assert latencies.median(0) is None, "the first call may have been a cold one"
    latencies.add(0, 0.7)
    assert latencies.median(0) == 0.7
    assert latencies.median(1) is None


def test_only_the_last_20_calls_count() -> None:
    latencies = Latencies()
    for latency_ms in [9.0] * 20 + [1.0] * 20:
        latencies.add(3, latency_ms)
    assert latencies.median(3) == 1.0


def test_a_kernel_that_left_is_forgotten() -> None:
    latencies = Latencies()
    for _ in range(3):
        latencies.add(0, 1.0)
        latencies.add(1, 2.0)
    latencies.forget(0)
    latencies.forget(7)
    assert (latencies.median(0), latencies.median(1)) == (None, 2.0)
