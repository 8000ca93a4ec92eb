"""Episodes in a batch, and the same ones through `Grower`."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from esper.contracts.slot import SlotKind
from esper.contracts.step import StepReport
from esper.policy.base import PolicyOption
from esper.policy.heuristic import Heuristic
from esper.policy.never import Never
from esper.policy.planner import Planner
from esper.run.episodes.batched.engine import run_batched
from esper.run.episodes.batched.row import Job
from esper.run.episodes.episode import Episode, EpisodeResult
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import Damage, EpisodeTask, draw_task
from experiments.benchmarks.batched import in_double
from tests.gain_models import write_gain_model
from tests.unit.run.episodes.small_tasks import small_task

SEED = 103
TASKS = [
    small_task(101, epochs=16),
    replace(
        small_task(102, epochs=16),
        hidden=(8, 3, 12, 7, 8, 5, 9),
        residual=(True, False, True, True, False, False, True),
        place=1,
        damage=Damage.DEAD,
        classes=3,
        samples=140,
        learning_rate=0.005,
    ),
]
EVENTS = (
    Event(1, "blocks.0", "mlp"),
    Event(2, "blocks.3", "gated_mlp"),
    Event(3, "blocks.1", "lora"),
    Event(4, "blocks.4", "affine"),
)
POLICIES: dict[str, PolicyOption] = {
    "never": Never(),
    "kept": Scripted(events=EVENTS),
    "judged": Scripted(events=EVENTS, keeps=False),
    "heuristic": Heuristic(),
    "probed": Scripted(events=EVENTS, probes=True),
}
READS_HEALTH = {"probed", "planner"}


def through_grower(job: Job) -> tuple[list[StepReport], EpisodeResult]:
    episode = Episode(job.task, job.rng_seed, **job.options)
    reports = []
    while not episode.is_over:
        reports.append(episode.step())
    return reports, episode.finish()


def in_a_batch(jobs: list[Job]) -> tuple[list[list[StepReport]], list[EpisodeResult | str]]:
    reports: list[list[StepReport]] = [[] for _ in jobs]
    ends = run_batched(jobs, lambda position, report: reports[position].append(report))
    return reports, ends


def health(report: StepReport) -> list[dict[str, float | None]]:
    """Return the health of each slot that has been probed."""
    return [asdict(slot.health) for slot in report.observation.slots if slot.health is not None]


def births(report: StepReport) -> dict[tuple[str, str], float | None]:
    """Return the first-order score of each birth, by slot and blueprint."""
    return {
        (slot.spec.name, birth.blueprint): birth.first_order
        for slot in report.observation.slots
        for birth in slot.births
    }


def decided(report: StepReport) -> list[tuple[str, int, str, str, str]]:
    """Return the moves of a step, with reasons, which name numbers to four digits."""
    return [(m.slot, m.seed, m.blueprint, m.to_stage, m.reason) for m in report.moves]


@pytest.mark.parametrize("name", [*POLICIES, "planner"])
def test_a_batch_measures_and_decides_as_growers_do(name: str, tmp_path: Path) -> None:
    write_gain_model(tmp_path / "planner", bias=0.1, linear_gain=1.0)
    policies = POLICIES | {"planner": Planner(path=str(tmp_path / "planner"))}
    with in_double():
        jobs = [Job(task, SEED, {"policy": policies[name]}) for task in TASKS]
        reports, ends = in_a_batch(jobs)
        for job, mine, end in zip(jobs, reports, ends, strict=True):
            theirs, other = through_grower(job)
            assert isinstance(end, EpisodeResult)
            assert len(mine) == len(theirs) == job.task.epochs
            for one, two in zip(mine, theirs, strict=True):
                assert one.metrics.val_loss == pytest.approx(two.metrics.val_loss, abs=1e-6)
                assert one.metrics.train_loss == pytest.approx(two.metrics.train_loss, abs=1e-6)
                assert one.flops == two.flops
                assert one.observation.affordable_flops == two.observation.affordable_flops
                assert decided(one) == decided(two)
                for found, expected in zip(health(one), health(two), strict=True):
                    assert found == pytest.approx(expected, abs=1e-4)
                assert births(one) == pytest.approx(births(two), rel=1e-4)
            assert bool(births(mine[0])) == (name in READS_HEALTH)
            assert end.loss == pytest.approx(other.loss, abs=1e-6)
            without = {"loss": 0.0, "processor_s": 0.0}
            assert replace(end, **without) == replace(other, **without)
            assert (end.events > 0) == (name != "never")


def test_the_numbers_do_not_depend_on_the_other_episodes_of_a_batch() -> None:
    jobs = [Job(task, SEED, {"policy": Heuristic()}) for task in TASKS]
    together = run_batched(jobs)
    for job, end in zip(jobs, together, strict=True):
        (alone,) = run_batched([job])
        assert isinstance(alone, EpisodeResult)
        assert isinstance(end, EpisodeResult)
        assert replace(alone, processor_s=0.0) == replace(end, processor_s=0.0)


def test_an_episode_that_would_be_rolled_back_says_so_and_the_others_go_on() -> None:
    options = {"policy": Scripted(events=EVENTS)}
    jobs = [
        Job(replace(TASKS[1], index=104, learning_rate=1e30), SEED, options),
        Job(TASKS[1], SEED, options),
    ]
    failed, other = run_batched(jobs)
    (alone,) = run_batched(jobs[1:])
    assert isinstance(failed, str)
    assert failed.startswith("the governor rolls back at epoch 1:")
    assert isinstance(alone, EpisodeResult)
    assert isinstance(other, EpisodeResult)
    assert replace(alone, processor_s=0.0) == replace(other, processor_s=0.0)


def test_budgets_may_differ_and_results_keep_the_order_of_the_jobs() -> None:
    tasks = [small_task(7, epochs=7), small_task(8, epochs=6), small_task(9, epochs=7)]
    ends = run_batched([Job(task, SEED, {"policy": Never()}) for task in tasks])
    assert [end.index for end in ends if isinstance(end, EpisodeResult)] == [7, 8, 9]


def test_only_dense_episodes_run_in_a_batch() -> None:
    task: EpisodeTask = draw_task(0, SlotKind.SEQUENCE)
    with pytest.raises(ValueError, match="only dense episodes run in a batch, got sequence"):
        Job(task, 0)
