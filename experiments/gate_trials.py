"""Put kernels on trial in a real run, and record what each look shows and what it costs.

A run is forked an epoch before the growth event, and a `Grower` trains the branch on.  Its policy
germinates the kernels once and judges nothing, so the trial shows a gain at every age up to the
last, and rules can be compared afterwards on the same trials.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from esper.attribution.compare import Comparison, Trial
from esper.attribution.twin import Train
from esper.contracts.event import Event, EventKind
from esper.contracts.stage import SeedStage
from esper.grower.grower import Grower
from esper.logger.bus import EventBus
from esper.policy.never import Never
from esper.run.model import example_input
from esper.safety.options import Safety
from esper.strategy.viability import Viability
from experiments.gate_forks import Fork
from experiments.gate_kernels import USELESS, OneTrial

LAST_AGE = 9
"""Age of a kernel at its last look, in epochs since germination."""

Row = dict[str, Any]
Options = Mapping[str, Any]
"""Keyword arguments of `Grower`."""


@dataclass
class Course:
    """What a branch did: gains and costs by age, and how seeds ended.

    gains: by seed and age, the shown gain and its standard error, as the product pools them over
        the looks so far; then both of the look alone.
    blueprints, added_flops: of each seed; FLOPs are those of a forward pass of a sample.
    flops, processor_s: totals from the fork to an age.
    trials: the open trials of the branch's grower.
    ended: reason of each seed that the lifecycle culled before the last look.
    """

    gains: dict[int, dict[int, tuple[float, ...]]] = field(default_factory=dict)
    blueprints: dict[int, str] = field(default_factory=dict)
    added_flops: dict[int, float] = field(default_factory=dict)
    flops: dict[int, float] = field(default_factory=dict)
    processor_s: dict[int, float] = field(default_factory=dict)
    trials: Sequence[Trial] = ()
    ended: dict[int, str] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Note an event of the grower; its first epoch ends with the germination."""
        body, age = event.body, event.epoch - 1
        if event.kind is EventKind.PERFORMANCE:
            if body.gain is not None and body.gain_error is not None:
                pooled = (body.gain, body.gain_error)
                self.gains.setdefault(body.seed, {})[age] = (*pooled, *self._alone(body.seed))
        elif event.kind is EventKind.LIFECYCLE:
            if body.to_stage is SeedStage.GERMINATED:
                self.blueprints[body.seed] = body.blueprint
            elif body.to_stage is SeedStage.CULLED and age < LAST_AGE:
                self.ended[body.seed] = body.reason
        elif event.kind is EventKind.KERNEL and body.error is None:
            self.added_flops[body.seed] = body.flops

    def _alone(self, seed: int) -> tuple[float, float]:
        """Return the gain and the error of the last look alone, by the network without the seed."""
        (trial,) = self.trials
        ((_, pooled),) = [each for each in trial.ablations.items() if each[0][1] == seed]
        seen, self._seen[seed] = self._seen.get(seed, 0), len(pooled.differences)
        own = Comparison(differences=pooled.differences[seen:])
        return own.gain or 0.0, own.error or 0.0


def trials(
    fork: Fork,
    baseline: Course,
    slot: str,
    blueprints: Sequence[str],
    methods: Mapping[str, Options],
) -> list[Row]:
    """Return a row for each kernel and method of one trial, without the true gains.

    Args:
        fork: the run before the growth event.
        baseline: of `never`, to which costs are compared.
        slot: where all kernels germinate.
        blueprints: one for each kernel; two and more are an ensemble.
        methods: options of `Grower` by the name of the method of attribution.

    Raises:
        RuntimeError: if a kernel did not germinate.
    """
    rows = []
    for method, options in methods.items():
        course = follow(fork, slot, blueprints, options)
        for seed, blueprint in sorted(course.blueprints.items()):
            rows.append(
                {
                    "slot": slot,
                    "blueprint": blueprint,
                    "is_useless": blueprint in USELESS,
                    "ensemble": len(blueprints),
                    "method": method,
                    "looks": {str(age): gain for age, gain in course.gains.get(seed, {}).items()},
                    "added_flops": course.added_flops[seed],
                    "ended": course.ended.get(seed),
                    "costs": _costs(course, baseline, fork),
                }
            )
    return rows


def follow(fork: Fork, slot: str, blueprints: Sequence[str], options: Options) -> Course:
    """Return the course of a trial of the kernels in one slot."""
    number = len(blueprints)
    course = _run(
        fork,
        {
            "policy": OneTrial(slot, number),
            "slots": (slot,),
            "num_seeds": number,
            "blueprint": tuple(blueprints),
            "viability": Viability(max_concurrent_seeds=number),
            # The trial is the experiment, whatever it costs.
            "safety": Safety(max_cost=1_000.0),
            **options,
        },
    )
    if sorted(course.blueprints.values()) != sorted(blueprints):
        germinated = ", ".join(course.blueprints.values()) or "nothing"
        raise RuntimeError(
            f"of {', '.join(blueprints)} in slot '{slot}' only these germinated: {germinated}"
        )
    return course


def never(fork: Fork) -> Course:
    """Return the course of the branch in which nothing grows."""
    return _run(fork, {"policy": Never()})


def _run(fork: Fork, options: Options) -> Course:
    course = Course()
    bus = EventBus()
    bus.subscribe(course.note)
    model, optimizer = fork.branch()
    grower = Grower(
        model,
        optimizer,
        example_input=example_input(fork.data),
        epochs=fork.config.epochs - fork.event_epoch + 1,
        rng_seed=fork.config.rng_seed,
        bus=bus,
        **options,
    )
    course.trials = grower.trials.open
    began, spent = time.process_time(), 0.0
    for age in range(LAST_AGE + 1):
        epoch = fork.event_epoch + age
        trained = fork.task.train(model, optimizer, epoch)
        again = _training(fork, epoch)
        report = grower.step(fork.task.evaluate, again, trained=trained, loss=fork.task.loss)
        spent += report.flops
        course.flops[age], course.processor_s[age] = spent, time.process_time() - began
    grower.close()
    return course


def _training(fork: Fork, epoch: int) -> Train:
    return lambda model, optimizer: fork.task.train(model, optimizer, epoch)


def _costs(course: Course, baseline: Course, fork: Fork) -> dict[str, Any]:
    """Return by age what the trial cost, as a share of the host's run of all epochs."""
    ages = LAST_AGE + 1
    epochs = fork.config.epochs
    flops, seconds = baseline.flops[LAST_AGE] / ages, baseline.processor_s[LAST_AGE] / ages
    return {
        "host_flops": flops / (3 * fork.task.num_samples),
        "flops_share": {
            str(age): (spent - baseline.flops[age]) / (flops * epochs)
            for age, spent in course.flops.items()
        },
        "processor_share": {
            str(age): (spent - baseline.processor_s[age]) / (seconds * epochs)
            for age, spent in course.processor_s.items()
        },
    }
