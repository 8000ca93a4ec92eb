"""The health of a run's kernels, as table rows."""

from esper.logger.format import count, decimal, percent, place
from esper.report.history import Row
from esper.rundir.records import Run
from esper.signals.health_score import health_score

HEALTH = (
    *("@seed", "@blueprint", "#epoch", "#errors", "#latency\nms", "#cached", "#score"),
    "@problem",
)


def health_rows(run: Run) -> list[Row]:
    """Return a row of `HEALTH` for every seed, as its last `health` event has it.

    `errors` are failures a step, `cached` the share of the slot's kernels whose validation was
    known already, and `score` is the health score of all three, in [0, 1].
    """
    latest = {(event["slot"], event["seed"]): event for event in run.of_kind("health")}
    hit_rates = _cache_hit_rates(run)
    rows: list[Row] = []
    for (slot, seed), event in latest.items():
        rate, latency_ms = event.get("error_rate"), event.get("latency_ms")
        hits = hit_rates.get(slot)
        score = health_score(latency_ms=latency_ms, error_rate=rate, cache_hit_rate=hits)
        rows.append(
            (
                place(slot, seed),
                event["blueprint"],
                count(event["epoch"]),
                percent(rate),
                decimal(latency_ms),
                percent(hits),
                decimal(score, 2),
                "yes" if event.get("is_problem") else "no",
            )
        )
    return rows


def _cache_hit_rates(run: Run) -> dict[str, float]:
    """Return, by slot, the share of its kernels whose validation was known already."""
    hits: dict[str, list[bool]] = {}
    for event in run.of_kind("kernel"):
        if event.get("error") is None:
            hits.setdefault(event["slot"], []).append(event.get("validate_ms") is None)
    return {slot: sum(known) / len(known) for slot, known in hits.items()}
