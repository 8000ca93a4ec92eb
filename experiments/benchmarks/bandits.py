"""The figures of `strategy`: times of selection and update, and sizes of records."""

from experiments.benchmarks import strategy
from experiments.benchmarks.figure import Figure


def bandits() -> list[Figure]:
    """Return the median microseconds of every strategy's selection and update, and the sizes."""
    measured = strategy.measure()
    known = measured["mabwiser_us"]
    seeds = f"{measured['seeds']} seeds"
    times = [
        Figure(
            name=f"strategy_{work}/{name}",
            value=span,
            unit="us",
            goal=measured["goals_us"][work],
            reference=f"MABWiser {known[name][work]:.3g} us, both with {seeds}"
            if name in known
            else seeds,
        )
        for name, spans in measured["esper_us"].items()
        for work, span in spans.items()
    ]
    sizes = [
        Figure(
            name=f"strategy_record/{name}",
            value=size,
            unit="bytes",
            goal=strategy.GOAL_BYTES,
            reference="JSON, full history",
        )
        for name, size in strategy.record_bytes().items()
    ]
    return [*times, *sizes]
