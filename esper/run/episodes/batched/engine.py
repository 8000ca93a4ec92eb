"""Run many dense episodes side by side: one tensor program trains and evaluates their networks.

Each network has a `Grower` of its own, which takes all decisions.  Host weights, data, batches,
kernels and coins are those of `Episode`; so are the results, but for rounding.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from esper.attribution.evaluation import Evaluation
from esper.attribution.first_order import Loss
from esper.attribution.modes import Key
from esper.contracts.metrics import TrainReport
from esper.contracts.step import StepReport
from esper.growth.slot import Seed
from esper.run.episodes.batched.control import RowGrower, RowModes, UnsupportedError
from esper.run.episodes.batched.kernels import KernelKey
from esper.run.episodes.batched.network import Shapes
from esper.run.episodes.batched.rehearsal import KernelStep, note_gradients, rates_of, rehearse
from esper.run.episodes.batched.row import Job, Row
from esper.run.episodes.batched.row_data import RowData
from esper.run.episodes.batched.stack import EpochNumbers, Stack
from esper.run.episodes.data import load
from esper.run.episodes.episode import EpisodeResult, grower_of, mixed, result_of, run_of
from esper.run.episodes.scripted import ScriptedPolicy
from esper.run.episodes.task import STEPS_PER_EPOCH
from esper.training.epoch import Epoch

Watch = Callable[[int, StepReport], None]

STACK = 192
"""Most networks of a stack."""


class BatchedEpisodes:
    """Episodes with equal budgets that run side by side.

    rows: the episodes that go on.
    failed: why an episode cannot run here, by its job's position.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Prepare the episodes of jobs, whose tasks have equal numbers of epochs."""
        self.jobs, self.epoch, self.epochs = list(jobs), 0, jobs[0].task.epochs
        assert {job.task.epochs for job in jobs} == {self.epochs}, "the budgets are equal"
        data = {job.task.index: load(job.task) for job in jobs}
        self.rows: list[Row] = []
        for position in sorted(range(len(jobs)), key=lambda i: -jobs[i].task.num_slots):
            job = jobs[position]
            run = run_of(job.task, job.rng_seed, data[job.task.index])
            grower = grower_of(job.task, run, RowGrower, **job.options)
            self.rows.append(Row(position, job, run, grower, len(self.rows)))
        self.data = RowData([row.run for row in self.rows])
        self.stack = Stack(
            torch.stack([row.initial_weights() for row in self.rows]),
            Shapes.of([row.job.task for row in self.rows]),
            {row.number: part for row in self.rows if (part := row.frozen()) is not None},
            self.rows[0].run.training,
        )
        self.failed: dict[int, str] = {}

    def step(self) -> list[tuple[Row, StepReport]]:
        """Train all networks for an epoch and take their control steps; return the reports."""
        trained = self._train()
        known = self._needed()
        self.epoch += 1
        reports = []
        for row, report in zip(self.rows, trained, strict=True):
            modes = RowModes(row.grower.host, known[row.number], partial(self._evaluated, row))
            # A scripted event offers one blueprint, so that nothing depends on its rank.
            is_scripted = isinstance(row.grower.policy, ScriptedPolicy)
            loss = None if is_scripted else _Fresh(self.stack, row, row.run.loss)
            probe = _Fresh(self.stack, row, row.run.probe, averages=True)
            try:
                control = row.grower.step_on(modes, report, loss, probe)
            except UnsupportedError as error:
                self.failed[row.position] = str(error)
                continue
            row.flops += control.flops
            reports.append((row, control))
        self._keep_best()
        self._follow()
        self._drop()
        return reports

    def finish(self, watch: Watch | None = None) -> list[EpisodeResult | str]:
        """Train the epochs that are left; return the results in the order of the jobs.

        An episode that cannot run here has a text, which says why, instead of a result.  `watch` is
        called with the position of a job and each report of its control steps.
        """
        began = time.process_time()
        while self.epoch < self.epochs and self.rows:
            for row, report in self.step():
                if watch is not None:
                    watch(row.position, report)
        results: dict[int, EpisodeResult | str] = dict(self.failed)
        for row, tested in zip(self.rows, self._tested(), strict=True):
            spent = (time.process_time() - began) / len(self.jobs)
            results[row.position] = result_of(
                row.job.task, row.run, row.grower, row.flops, tested, spent
            )
        return [results[position] for position in range(len(self.jobs))]

    def _train(self) -> list[TrainReport]:
        epochs = [
            Epoch(r.run.training, self.epoch + 1, self.epochs, STEPS_PER_EPOCH) for r in self.rows
        ]
        rehearsals = [
            rehearse(row.host, epoch, STEPS_PER_EPOCH)
            for row, epoch in zip(self.rows, epochs, strict=True)
        ]
        steps: dict[KernelKey, tuple[Seed, list[KernelStep]]] = {
            row.kernels[seed.slot, seed.index]: (seed, found)
            for row, rehearsal in zip(self.rows, rehearsals, strict=True)
            for seed, found in rehearsal.kernels
        }
        ordered = [steps[key] for key in self.stack.pool.keys]
        batches = self.data.batches(self.epoch + 1)
        # The first epoch's averages are its last weights, as its length is not known before.
        share = 1 / STEPS_PER_EPOCH if self.epoch else 1.0
        numbers = self.stack.train(batches, rates_of(rehearsals, [f for _, f in ordered]), share)
        note_gradients(ordered, numbers.norms)
        return [
            _report(numbers, row.number, batches.sizes[row.number], rehearsal.rates[-1])
            for row, rehearsal in zip(self.rows, rehearsals, strict=True)
        ]

    def _needed(self) -> list[dict[frozenset[Key], Evaluation]]:
        """Return the evaluations that the next control steps ask for, by row and muted kernels."""
        asked = [(row, muted) for row in self.rows for muted in row.grower.modes_needed()]
        found: list[dict[frozenset[Key], Evaluation]] = [{} for _ in self.rows]
        for (row, muted), evaluation in zip(asked, self._evaluations(asked), strict=True):
            found[row.number][muted] = evaluation
        return found

    def _evaluated(self, row: Row, muted: frozenset[Key]) -> Evaluation:
        return self._evaluations([(row, muted)])[0]

    def _evaluations(self, asked: Sequence[tuple[Row, frozenset[Key]]]) -> list[Evaluation]:
        numbers = [row.number for row, _ in asked]
        running = [(row.number, row.alphas(muted)) for row, muted in asked]
        x, y = self.data.val_x[numbers], self.data.val_y[numbers]
        losses, hits = self.stack.scores(x, y, running)
        pairs = zip(losses.double(), hits.double(), strict=True)
        return [Evaluation(losses_N, hits_N) for losses_N, hits_N in pairs]

    def _keep_best(self) -> None:
        better = [row for row in self.rows if row.grower.best.is_new]
        kept = [row.kernels[key] for row in better for key in row.grower.best.kept]
        self.stack.keep_best([row.number for row in better], kept)
        for row in better:
            row.grower.best.is_new = False

    def _follow(self) -> None:
        """Remove and add the kernels that the control steps have culled and germinated."""
        gone: list[KernelKey] = []
        added: dict[KernelKey, Tensor] = {}
        for row in self.rows:
            left, new = row.follow()
            gone += left
            added |= new
        if gone or added:
            self.stack.pool.change(gone, added)

    def _drop(self) -> None:
        """Drop the episodes that cannot run here."""
        left = [row for row in self.rows if row.position not in self.failed]
        if len(left) < len(self.rows):
            numbers = [row.number for row in left]
            self.stack.take(numbers)
            self.data.take(numbers)
            for number, row in enumerate(left):
                row.move(number)
            self.rows = left

    def _tested(self) -> Iterable[tuple[float, float]]:
        """Read the networks out; return their losses and accuracies on the test split."""
        if not self.rows:
            return []
        for row in self.rows:
            row.grower.read_out()
        running = [
            (row.number, row.alphas(frozenset(row.kernels) - row.grower.best.kept))
            for row in self.rows
        ]
        data = self.data
        losses, hits = self.stack.scores(data.test_x, data.test_y, running, at_best=True)
        return [
            mixed(losses[row.number], hits[row.number], row.job.task.classes) for row in self.rows
        ]


class _Fresh:
    """A loss of a row's network that first gives the model its present weights.

    averages: whether the host's record of the weights' averages is brought up to date too.
    """

    def __init__(self, stack: Stack, row: Row, loss: Loss, *, averages: bool = False) -> None:
        self.stack, self.row, self.loss, self.averages = stack, row, loss, averages

    def __call__(self, model: nn.Module) -> Tensor:
        self.row.put_back(self.stack, averages=self.averages)
        losses: Tensor = self.loss(model)
        return losses


def run_batched(jobs: Sequence[Job], watch: Watch | None = None) -> list[EpisodeResult | str]:
    """Run episodes in stacks of equal budgets; arguments and results as those of `finish`."""
    order = sorted(range(len(jobs)), key=lambda i: (jobs[i].task.epochs, jobs[i].task.num_slots))
    results: dict[int, EpisodeResult | str] = {}
    while order:
        epochs = jobs[order[0]].task.epochs
        chosen = [index for index in order[:STACK] if jobs[index].task.epochs == epochs]
        order = order[len(chosen) :]
        episodes = BatchedEpisodes([jobs[index] for index in chosen])
        found = episodes.finish(None if watch is None else partial(_watch, watch, chosen))
        results.update(zip(chosen, found, strict=True))
    return [results[index] for index in range(len(jobs))]


def _watch(watch: Watch, chosen: Sequence[int], position: int, report: StepReport) -> None:
    watch(chosen[position], report)


def _report(numbers: EpochNumbers, row: int, sizes: Tensor, rate: float) -> TrainReport:
    """Return the report of a row's training; each step is a part of the epoch."""
    losses, counts = numbers.losses[row].tolist(), sizes.tolist()
    total = sum(counts)
    return TrainReport(
        loss=sum(loss * count for loss, count in zip(losses, counts, strict=True)) / total,
        accuracy=int(numbers.hits[row].sum()) / total,
        losses=tuple(losses),
        first_loss=losses[0],
        num_samples=total,
        num_steps=len(losses),
        learning_rate=rate,
        is_finite=bool(numbers.is_finite[row]),
    )
