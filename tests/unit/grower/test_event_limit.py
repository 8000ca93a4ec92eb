"""`safety.max_events` in whole runs: so many growth events, and no more."""

import pytest
import torch

from esper.contracts.event import EventKind
from esper.contracts.stage import SeedStage
from esper.grower.grower import Grower
from esper.policy.schedule import Schedule
from esper.safety.options import Safety
from tests.unit.scripted import Told, adapt, losses_and_hits, make_grower, script, train

WISHES = 4
"""Growth events without a limit, one after each of the first epochs."""


def limited(most: int | None) -> tuple[Grower, Told]:
    """Return a grower of four slots whose policy wants to grow in each of the first epochs."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 3)
    )
    policy = Schedule(fractions=(0.07, 0.14, 0.21, 0.28), seeds_per_adaptation=2)
    safety = Safety(max_cost=99.0, max_events=most)
    return make_grower(model, policy=policy, safety=safety, slots=("0", "1", "2", "3"))


def steps(grower: Grower, num: int) -> None:
    for _ in range(num):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits)


def grown(told: Told) -> list[str]:
    """Return the slots that grew, in order."""
    moves = told.of(EventKind.LIFECYCLE)
    return list(dict.fromkeys(m.slot for m in moves if m.to_stage is SeedStage.GERMINATED))


@pytest.mark.parametrize(("most", "events"), [(None, WISHES), (2, 2), (0, 0)])
def test_a_run_has_as_many_growth_events_as_it_may(most: int | None, events: int) -> None:
    grower, told = limited(most)
    steps(grower, 6)
    assert grown(told) == ["0", "1", "2", "3"][:events]
    assert grower.trials.num_events == events
    # A plan that germinates two seeds is one event.
    assert sum(seed.activations for seed in grower.host.seeds()) == 2 * events
    reasons = [decision.reason for decision in told.of(EventKind.DECISION)]
    says_so = "safety.max_events allows no further growth event" in reasons
    assert says_so == (events < WISHES)


def test_a_resumed_run_remembers_the_events_that_it_had() -> None:
    first, _ = limited(2)
    steps(first, 1)
    assert first.trials.num_events == 1
    resumed, told = limited(2)
    resumed.load_state_dict(first.state_dict())
    steps(resumed, 5)
    assert grown(told) == ["1"]
    assert resumed.trials.num_events == 2


def test_of_two_requests_in_one_epoch_the_second_is_refused() -> None:
    policy = script(e1=[adapt("0", 1), adapt("3", 1)])
    grower, told = make_grower(policy=policy, safety=Safety(max_cost=99.0, max_events=1))
    steps(grower, 1)
    assert grown(told) == ["0"]
    (refusal,) = told.of(EventKind.SAFETY)
    assert (refusal.rule, refusal.reason) == ("max_events", "no growth event is left (at most 1)")
