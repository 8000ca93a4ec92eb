"""Scripted growth: each kernel where and when it is written, kept or judged."""

import pytest

from esper.contracts.decision import DecisionKind
from esper.contracts.stage import SeedStage
from esper.run.episodes.episode import Episode
from esper.run.episodes.scripted import Event, Scripted, keep_all, request
from esper.safety.options import Safety
from tests.unit.policy.builders import CATALOGUE, make_observation, make_seed, make_slot
from tests.unit.run.episodes.small_tasks import small_task

EVENTS = (
    Event(1, "blocks.4", "affine"),
    Event(3, "blocks.0", "lora"),
    Event(3, "blocks.2", "mlp"),
)


def germinated(episode: Episode) -> list[Event]:
    """Run an episode; return the germinations, in order."""
    found = []
    while not episode.is_over:
        report = episode.step()
        for move in report.moves:
            if move.to_stage is SeedStage.GERMINATED:
                seed = episode.grower.host.seed(move.slot, move.seed)
                found.append(Event(report.metrics.epoch, move.slot, seed.bound))
    return found


@pytest.mark.parametrize("probes", [False, True])
def test_events_happen_when_where_and_as_they_are_written_and_are_kept(probes: bool) -> None:
    policy = Scripted(events=EVENTS, probes=probes)
    episode = Episode(small_task(epochs=12), 0, policy=policy, safety=Safety(max_cost=99.0))
    assert germinated(episode) == list(EVENTS)
    result = episode.finish()
    assert (result.events, result.kept, result.culled) == (3, 3, 0)
    stages = {(s.slot, s.bound) for s in episode.grower.host.seeds() if s.stage == "FOSSILIZED"}
    assert stages == {(event.slot, event.blueprint) for event in EVENTS}


def test_without_keeping_the_usual_verdict_decides() -> None:
    dear = Scripted(events=EVENTS, keeps=False, price=1.0)
    result = Episode(small_task(epochs=12), 0, policy=dear, safety=Safety(max_cost=99.0)).finish()
    assert (result.events, result.kept, result.culled) == (3, 0, 3)


def test_the_health_of_slots_is_measured_only_if_it_is_asked_for() -> None:
    task, seen = small_task(epochs=8), []
    for probes in (False, True):
        report = Episode(task, 0, policy=Scripted(probes=probes)).step()
        seen.append([slot.health is not None for slot in report.observation.slots])
    assert seen == [[False] * 6, [True] * 6]


def test_a_request_bars_all_other_blueprints() -> None:
    decision = request(make_observation(epoch=4), "block", "lora")
    assert (decision.kind, decision.slot, decision.num_seeds) == (DecisionKind.ADAPT, "block", 1)
    assert {*decision.barred, "lora"} == set(CATALOGUE)
    assert "lora" not in decision.barred
    assert decision.reason == "lora is planned for epoch 4"


def test_every_seed_is_kept_at_its_first_look() -> None:
    ripe, young = make_seed(SeedStage.PROBATIONARY, gain=-0.5), make_seed(SeedStage.SHADOWING)
    observation = make_observation(slots=(make_slot(seeds=(young, ripe)),))
    (decision,) = keep_all(observation)
    assert (decision.kind, decision.seed) == (DecisionKind.FOSSILIZE, 1)
    wait = Scripted().build(0).decide(make_observation())
    assert [each.reason for each in wait] == ["nothing is planned for this epoch"]
