"""Run many dense episodes side by side: one tensor program trains and evaluates their networks.

Each network has a `Grower` of its own, which takes all decisions.  Host weights, data, batches,
kernels and coins are those of `Episode`; so are the results, but for rounding.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from esper.attribution.evaluation import Evaluation
from esper.attribution.modes import Key
from esper.contracts.metrics import TrainReport
from esper.contracts.slot import SlotKind
from esper.contracts.stage import BLENDED
from esper.contracts.step import StepReport
from esper.growth.attach import kernels_of
from esper.growth.slot import Seed
from esper.run.episodes.batched.flat import (
    BLUEPRINTS,
    block_range,
    host_pieces,
    pack_host,
    pack_kernel,
    unpack,
    unpack_kernel,
)
from esper.run.episodes.batched.kernels import Gates, KernelKey
from esper.run.episodes.batched.network import Shapes
from esper.run.episodes.batched.rehearsal import KernelStep, Rehearsal, rehearse
from esper.run.episodes.batched.row import RowGrower, RowModes, UnsupportedError
from esper.run.episodes.batched.row_data import RowData
from esper.run.episodes.batched.stack import EpochNumbers, EpochRates, Stack, by_rate
from esper.run.episodes.data import load
from esper.run.episodes.episode import EpisodeResult, grower_of, mixed_loss, result_of, run_of
from esper.run.episodes.hosts import EpisodeHost
from esper.run.episodes.task import STEPS_PER_EPOCH, EpisodeTask
from esper.run.task import Task
from esper.training.epoch import Epoch

STACK = 96
"""Most networks of a stack."""


@dataclass(frozen=True, slots=True)
class Job:
    """An episode to run; `options` are those of `Episode`."""

    task: EpisodeTask
    rng_seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task.kind is not SlotKind.DENSE:
            raise ValueError(f"only dense episodes run in a batch, got {self.task.kind}")


@dataclass(slots=True)
class Row:
    """A network of a stack and its control.

    number: its row now.
    kernels: the keys of its kernels in the stack, by slot and seed.
    flops: of its training so far.
    """

    job: Job
    run: Task
    grower: RowGrower
    number: int = 0
    kernels: dict[Key, KernelKey] = field(default_factory=dict)
    flops: float = 0.0

    @property
    def host(self) -> EpisodeHost:
        """The model of the row, whose weights are old."""
        model = self.grower.host.model
        assert isinstance(model, EpisodeHost)
        return model


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
        self.rows = []
        for job in sorted(jobs, key=lambda job: -job.task.num_slots):
            run = run_of(job.task, job.rng_seed, data[job.task.index])
            grower = grower_of(job.task, run, RowGrower, **job.options)
            self.rows.append(Row(job, run, grower, len(self.rows)))
        self.data = RowData([row.run for row in self.rows])
        self.stack = Stack(
            torch.stack([pack_host(row.host) for row in self.rows]),
            Shapes.of([row.job.task for row in self.rows]),
            {row.number: part for row in self.rows if (part := _frozen(row.host)) is not None},
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
            loss, probe = (_Fresh(self, row, each) for each in (row.run.loss, row.run.probe))
            try:
                control = row.grower.step_on(modes, report, loss, probe)
            except UnsupportedError as error:
                self.failed[id(row.job)] = str(error)
                continue
            row.flops += control.flops
            reports.append((row, control))
        self._keep_best()
        self._follow()
        self._drop()
        return reports

    def finish(self) -> list[EpisodeResult | str]:
        """Train the epochs that are left; return the results in the order of the jobs.

        An episode that cannot run here has a text, which says why, instead of a result.
        """
        began = time.process_time()
        while self.epoch < self.epochs and self.rows:
            self.step()
        results: dict[int, EpisodeResult | str] = dict(self.failed)
        for row, tested in zip(self.rows, self._tested(), strict=True):
            spent = (time.process_time() - began) / len(self.jobs)
            results[id(row.job)] = result_of(
                row.job.task, row.run, row.grower, row.flops, tested, spent
            )
        return [results[id(job)] for job in self.jobs]

    def put_back(self, row: Row) -> None:
        """Copy the present weights of a row into its model."""
        unpack(host_pieces(row.host), self.stack.weights[row.number])
        at, host = self.stack.pool.index(), row.grower.host
        for (slot, index), kernel in row.kernels.items():
            seed = host.seed(slot, index)
            # The present control step may have culled it.
            if seed.current is not None and seed.activations == kernel.activation:
                weights = self.stack.pool.weights[at[kernel]]
                unpack_kernel(_module(row, slot, index), BLUEPRINTS[kernel.blueprint], weights)

    def _train(self) -> list[TrainReport]:
        epochs = [Epoch(r.run.training, self.epoch + 1, self.epochs, STEPS_PER_EPOCH) for r in self.rows]
        rehearsals = [
            rehearse(row.grower.host, epoch, STEPS_PER_EPOCH)
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
        numbers = self.stack.train(batches, _rates(rehearsals, [f for _, f in ordered]), share)
        _note_gradients(ordered, numbers.norms)
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
        running = [(row.number, _alphas(row, muted)) for row, muted in asked]
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
        gone, added = [], {}
        for row in self.rows:
            seeds = [seed for seed in row.grower.host.seeds() if seed.current is not None]
            now = {(seed.slot, seed.index): _key(row, seed) for seed in seeds}
            gone += [key for at, key in row.kernels.items() if now.get(at) != key]
            for at, key in now.items():
                if row.kernels.get(at) != key:
                    added[key] = pack_kernel(_module(row, *at), BLUEPRINTS[key.blueprint])
            row.kernels = now
        if gone or added:
            self.stack.pool.change(gone, added)

    def _drop(self) -> None:
        """Drop the episodes that cannot run here."""
        left = [row for row in self.rows if id(row.job) not in self.failed]
        if len(left) < len(self.rows):
            numbers = [row.number for row in left]
            self.stack.take(numbers)
            self.data.take(numbers)
            for number, row in enumerate(left):
                row.number = number
                row.kernels = {
                    at: KernelKey(k.place, k.blueprint, number, k.seed, k.activation)
                    for at, k in row.kernels.items()
                }
            self.rows = left

    def _tested(self) -> Iterable[tuple[float, float]]:
        """Read the networks out; return their losses and accuracies on the test split."""
        if not self.rows:
            return []
        for row in self.rows:
            row.grower.read_out()
        running = [
            (row.number, _alphas(row, frozenset(row.kernels) - row.grower.best.kept))
            for row in self.rows
        ]
        data = self.data
        losses, hits = self.stack.scores(data.test_x, data.test_y, running, at_best=True)
        return [
            mixed_loss(losses[row.number], hits[row.number], row.job.task.classes)
            for row in self.rows
        ]


class _Fresh:
    """A loss of a row's network that first gives the model its present weights."""

    def __init__(self, episodes: BatchedEpisodes, row: Row, loss: Any) -> None:
        self.episodes, self.row, self.loss = episodes, row, loss

    def __call__(self, model: nn.Module) -> Tensor:
        self.episodes.put_back(self.row)
        losses: Tensor = self.loss(model)
        return losses


def run_batched(jobs: Sequence[Job]) -> list[EpisodeResult | str]:
    """Run episodes in stacks of equal budgets; return the results in the order of the jobs.

    An episode that a batch cannot run has a text, which says why, instead of a result.
    """
    order = sorted(range(len(jobs)), key=lambda i: (jobs[i].task.epochs, jobs[i].task.num_slots))
    results: dict[int, EpisodeResult | str] = {}
    while order:
        epochs = jobs[order[0]].task.epochs
        chosen = [index for index in order[:STACK] if jobs[index].task.epochs == epochs]
        order = order[len(chosen) :]
        found = BatchedEpisodes([jobs[index] for index in chosen]).finish()
        results.update(zip(chosen, found, strict=True))
    return [results[index] for index in range(len(jobs))]


def _frozen(host: EpisodeHost) -> tuple[int, int] | None:
    """Return the part of a host's flat weights that does not learn, None if all do."""
    learns = [[p.requires_grad for p in block.parameters()] for block in host.blocks]
    places = [place for place, each in enumerate(learns) if not all(each)]
    assert len(places) <= 1, "at most one block is damaged"
    return block_range(places[0]) if places else None


def _key(row: Row, seed: Seed) -> KernelKey:
    place = list(row.grower.host.slots).index(seed.slot)
    blueprint = BLUEPRINTS.index(seed.activation.blueprint)
    return KernelKey(place, blueprint, row.number, seed.index, seed.activations)


def _module(row: Row, slot: str, seed: int) -> nn.Module:
    return kernels_of(row.grower.host.slots[slot].module).kernels[str(seed)]


def _alphas(row: Row, muted: frozenset[Key]) -> dict[KernelKey, float]:
    """Return the blend factors of the kernels of a row that are blended and not muted."""
    seeds = [row.grower.host.seed(*key) for key in row.kernels if key not in muted]
    return {row.kernels[s.slot, s.index]: s.alpha for s in seeds if s.stage in BLENDED}


def _rates(rehearsals: Sequence[Rehearsal], kernels: Sequence[list[KernelStep]]) -> EpochRates:
    steps = range(STEPS_PER_EPOCH)
    return EpochRates(
        hosts=[by_rate((row, each.rates[s]) for row, each in enumerate(rehearsals)) for s in steps],
        kernels=[
            by_rate((k, each[s].rate) for k, each in enumerate(kernels) if not each[s].is_muted)
            for s in steps
        ],
        gates=[_gates([each[s] for each in kernels]) for s in steps],
    )


def _gates(steps: Sequence[KernelStep]) -> Gates:
    """Return how kernels take part in a training step; isolated ones learn as if alpha were 1."""
    alphas = [(each.alpha, each.is_muted) for each in steps]
    out = [0.0 if alpha is None or is_muted else alpha for alpha, is_muted in alphas]
    back = [1.0 if alpha is None else now for (alpha, _), now in zip(alphas, out, strict=True)]
    through = [float(alpha is not None) for alpha, _ in alphas]
    out_K, back_K, through_K = torch.tensor([out, back, through])[:, :, None, None]
    return Gates(out_K, back_K, through_K)


def _note_gradients(kernels: Sequence[tuple[Seed, list[KernelStep]]], norms: Tensor) -> None:
    """Add the norms of the gradients that the steps measure to the seeds' records."""
    for step, values in enumerate(norms.tolist()):
        for (seed, steps), norm in zip(kernels, values, strict=True):
            if steps[step].is_sampled:
                seed.activation.gradient.add(norm)


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
