"""The arms of `growth_pays` for one rng seed: the grown network and its controls.

Every arm is a run of the product: the same splits, initial host weights, data order in each epoch,
schedule over its own budget, and read-out.  The controls never grow (`policy=never`).

    grown              the default
    host               the host that the grown run started from
    final              the grown run's final architecture, from the start
    x0.5 ... x8        hosts with that multiple of the hidden widths; x1 is the host
    random size        one of these, drawn by the rng seed
    best size          the one that was chosen on other rng seeds, if any was
    sweep              every size with 1/5 of the grown run's FLOPs; the one with the lowest
                       decision-validation loss is taken
    halving            successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): in each
                       of four rungs a quarter of the grown run's FLOPs is divided equally among the
                       sizes left; the better half (rounded up: 5, 3, 2, 1) by the lowest
                       decision-validation loss so far goes on.  A size continues its training; its
                       schedule spans the length that it has if it survives to the end

Without a suffix an arm has the epochs of the grown run; `, equal FLOPs` and `, equal seconds` give
it the grown run's FLOPs (attribution and culled trials included) or processor seconds.  The FLOPs
and seconds of `sweep` and `halving` are those of all their sizes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

from esper.config import RunConfig
from esper.policy.never import Never
from experiments.final import final_model
from experiments.measured import Measured, measure
from experiments.tasks import SIZES, Place, sized

MOST_EPOCHS = 2000
"""Largest budget of a control; a shorter one is recorded as its `epochs`."""

EQUAL_FLOPS, EQUAL_SECONDS = ", equal FLOPs", ", equal seconds"


@dataclass(frozen=True)
class Result:
    """The result of an arm for one rng seed.

    flops: total of training and attribution.
    processor_s: see `experiments.meter`.
    val_loss: of the read-out, on the decision-validation split.
    choice: the size that was drawn, or that won.
    """

    arm: str
    rng_seed: int
    test_accuracy: float
    test_loss: float
    val_loss: float
    params: int
    epochs: int
    flops: float
    processor_s: float
    peak_memory_mb: float | None
    choice: float | None = None


def result(arm: str, run: Measured) -> Result:
    """Return the result of an arm that is a single run."""
    summary = run.summary
    return Result(
        arm=arm,
        rng_seed=summary["rng_seed"],
        test_accuracy=summary["test_accuracy"],
        test_loss=summary["test_loss"],
        val_loss=run.val_loss,
        params=summary["params_final"],
        epochs=run.epochs,
        flops=run.flops,
        processor_s=run.processor_s,
        peak_memory_mb=run.peak_memory_mb,
    )


class Controls:
    """Runs controls of one rng seed; a control that two arms share is run once."""

    def __init__(self, config: RunConfig) -> None:
        self.config = replace(config, policy=Never())
        self._runs: dict[tuple[str, int], Measured] = {}

    def run(self, model: Any, epochs: int) -> Measured:
        """Return the run of a host of constant architecture."""
        epochs = max(1, min(MOST_EPOCHS, epochs))
        key = (repr(model), epochs)
        if key not in self._runs:
            self._runs[key] = measure(replace(self.config, model=model, epochs=epochs))
        return self._runs[key]

    def size(self, factor: float, epochs: int | None = None) -> Measured:
        """Return the run of a static size, by default over the epochs of the grown run."""
        return self.run(sized(self.config.model, factor), epochs or self.config.epochs)

    def with_flops(self, model: Any, flops: float) -> Measured:
        """Return the run of a host for as many FLOPs as whole epochs come closest to."""
        per_epoch = self.run(model, self.config.epochs).flops_per_epoch
        return self.run(model, round(flops / per_epoch))

    def size_with_flops(self, factor: float, flops: float) -> Measured:
        """Return the run of a static size for about as many FLOPs."""
        return self.with_flops(sized(self.config.model, factor), flops)


def compare(place: Place, rng_seed: int, best: float | None = None) -> list[dict[str, Any]]:
    """Run every arm of one rng seed and return their results as plain values.

    `best` is the size that was chosen before, if any; it is run at equal seconds too.
    """
    grown, controls = _grown(place, rng_seed)
    results = [result("grown", grown), *_host(controls, grown), *_final(controls, grown)]
    sizes = size_results(controls, grown.flops)
    drawn = Random(f"size/{rng_seed}").choice(SIZES)
    results += sizes
    results += chosen(sizes, drawn, "random size")
    if best is not None:
        named = [*chosen(sizes, best, "best size"), _equal_seconds(controls, grown, best)]
        results += [replace(each, choice=best) for each in named]
    results += [_sweep(controls, grown.flops), _halving(controls, grown.flops)]
    return [asdict(each) for each in results]


def compare_host(place: Place, rng_seed: int) -> list[dict[str, Any]]:
    """Run the grown arm of one rng seed and the ungrown host; return their results."""
    grown, controls = _grown(place, rng_seed)
    return [asdict(each) for each in (result("grown", grown), *_host(controls, grown))]


def compare_sizes(place: Place, rng_seed: int) -> list[dict[str, Any]]:
    """Run the static sizes of one rng seed, at the epochs and at the FLOPs of the grown run."""
    grown, controls = _grown(place, rng_seed)
    return [asdict(each) for each in size_results(controls, grown.flops)]


def _grown(place: Place, rng_seed: int) -> tuple[Measured, Controls]:
    """Return the grown run and the controls of a rng seed.

    It runs once before it counts, so that no arm pays for what is loaded at first use.
    """
    config = place.config(rng_seed)
    measure(config)
    return measure(config), Controls(config)


def size_results(controls: Controls, flops: float) -> list[Result]:
    """Return the results of every static size, at equal epochs and at equal FLOPs."""
    results = []
    for factor in SIZES:
        name = size_name(factor)
        results.append(result(name, controls.size(factor)))
        results.append(result(name + EQUAL_FLOPS, controls.size_with_flops(factor, flops)))
    return results


def size_name(factor: float) -> str:
    """Return the name of a static size's arm."""
    return f"x{factor:g}"


def chosen(sizes: Sequence[Result], factor: float, arm: str) -> list[Result]:
    """Return the results of one size under the name of the arm that chose it."""
    by_name = {each.arm: each for each in sizes}
    return [
        replace(by_name[size_name(factor) + suffix], arm=arm + suffix, choice=factor)
        for suffix in ("", EQUAL_FLOPS)
    ]


def _host(controls: Controls, grown: Measured) -> list[Result]:
    return [
        result("host", controls.size(1.0)),
        result("host" + EQUAL_FLOPS, controls.size_with_flops(1.0, grown.flops)),
        replace(_equal_seconds(controls, grown, 1.0), arm="host" + EQUAL_SECONDS),
    ]


def _equal_seconds(controls: Controls, grown: Measured, factor: float) -> Result:
    """Return a size's result at the processor seconds of the grown run, as `best size`."""
    plain = controls.size(factor)
    epochs = round(grown.processor_s / (plain.processor_s / plain.epochs))
    return result("best size" + EQUAL_SECONDS, controls.size(factor, max(1, epochs)))


def _final(controls: Controls, grown: Measured) -> list[Result]:
    model = final_model(controls.config, grown.kernels)
    return [
        result("final", controls.run(model, controls.config.epochs)),
        result("final" + EQUAL_FLOPS, controls.with_flops(model, grown.flops)),
    ]


def _sweep(controls: Controls, flops: float) -> Result:
    """Return the best of all sizes, each trained with an equal part of the FLOPs."""
    runs = {size: controls.size_with_flops(size, flops / len(SIZES)) for size in SIZES}
    best = min(runs, key=lambda size: runs[size].val_loss)
    return replace(
        result("sweep", runs[best]),
        choice=best,
        flops=sum(run.flops for run in runs.values()),
        processor_s=sum(run.processor_s for run in runs.values()),
        peak_memory_mb=_peak(runs.values()),
    )


def rung_budgets(num_sizes: int) -> list[tuple[int, float]]:
    """Return the sizes of each rung of halving, and each one's part of the total cost till its end.

    With 4 sizes: 4, 2 and 1 of them, and 1/12, 1/12 + 1/6, 1/12 + 1/6 + 1/3 of the cost.
    """
    counts = [num_sizes]
    while counts[-1] > 1:
        counts.append(math.ceil(counts[-1] / 2))
    spent, budgets = 0.0, []
    for count in counts:
        spent += 1 / len(counts) / count
        budgets.append((count, spent))
    return budgets


def halve(
    losses: Mapping[float, Sequence[float]], ends: Mapping[float, Sequence[int]]
) -> tuple[float, dict[float, int]]:
    """Return the winning size and how many epochs each size was trained.

    Args:
        losses: decision-validation loss of each epoch, by size.
        ends: last epoch of each rung, by size.
    """
    left, trained = list(losses), dict.fromkeys(losses, 0)
    for rung, (count, _) in enumerate(rung_budgets(len(losses))):
        if rung:
            best = {size: min(losses[size][: trained[size]]) for size in left}
            left = sorted(left, key=best.__getitem__)[:count]
        trained |= {size: ends[size][rung] for size in left}
    return left[0], trained


def _halving(controls: Controls, flops: float) -> Result:
    """Return the survivor of successive halving.

    Every size is trained to its full length, and only the part that halving uses is counted: a run
    is a function of its configuration, so one that stops at a rung equals the start of the whole.
    """
    budgets = [share * flops for _, share in rung_budgets(len(SIZES))]
    runs, ends = {}, {}
    for size in SIZES:
        per_epoch = controls.size(size).flops_per_epoch
        ends[size] = [max(1, min(MOST_EPOCHS, round(b / per_epoch))) for b in budgets]
        runs[size] = controls.size(size, ends[size][-1])
    losses = {size: [_known(line["val_loss"]) for line in run.lines] for size, run in runs.items()}
    best, trained = halve(losses, ends)
    return replace(
        result("halving", runs[best]),
        choice=best,
        flops=sum(runs[size].flops_per_epoch * trained[size] for size in SIZES),
        processor_s=sum(r.processor_s * trained[size] / r.epochs for size, r in runs.items()),
        peak_memory_mb=_peak(runs.values()),
    )


def _known(loss: float | None) -> float:
    return math.inf if loss is None else loss


def _peak(runs: Any) -> float | None:
    peaks = [run.peak_memory_mb for run in runs]
    return None if None in peaks else max(peaks)
