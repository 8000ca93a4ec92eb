"""The health of kernels, from events that can be checked by hand."""

from esper.report.health import health_rows
from tests.unit.report.test_choices import event, run_of


def test_every_seed_has_a_row_with_what_was_told_of_it_last() -> None:
    first = event("health", 3, error_rate=0.5, latency_ms=None, is_problem=True)
    last = event("health", 5, error_rate=0.1, latency_ms=5.0, is_problem=False)
    built = [event("kernel", 2, validate_ms=ms, error=None) for ms in (1.5, None)]
    refused = event("kernel", 2, validate_ms=None, error="it is not sane")
    # 0.4 * 0.5 + 0.4 * 0.5 + 0.2 * 0.5
    row = ("a seed 0", "mlp", "5", "10.0 %", "5.000", "50.0 %", "0.50", "no")
    assert health_rows(run_of(*built, refused, first, last)) == [row]
    assert health_rows(run_of(first))[0][-1] == "yes"


def test_what_was_not_measured_has_no_number() -> None:
    (row,) = health_rows(run_of(event("health", 3, error_rate=None, latency_ms=None)))
    assert row[3:] == ("-", "-", "-", "-", "no")
