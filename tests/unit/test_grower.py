"""The grower in a loop of a user's own: plain torch, dropout, shuffling by the global generator."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.blueprint.cost import Cost
from esper.choices import Choices
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.event import Event, EventKind
from esper.contracts.metrics import TrainReport
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import Placement, SlotKind
from esper.contracts.stage import LIVE, SeedStage
from esper.grower import Grower, StepReport
from esper.growth.options import Growth
from esper.policy.schedule import Schedule
from esper.strategy.viability import Viability
from esper.telemetry.bus import EventBus

EPOCHS = 14
Table = dict[int, list[Decision]]


@dataclass(frozen=True)
class Script:
    """A policy that decides what is written down beforehand, by epoch."""

    table: tuple[tuple[int, tuple[Decision, ...]], ...] = ()

    def build(self, rng_seed: int) -> "ScriptPolicy":
        del rng_seed
        return ScriptPolicy({epoch: list(decisions) for epoch, decisions in self.table})


class ScriptPolicy:
    name = "script"

    def __init__(self, table: Table) -> None:
        self.table = table
        self.learned: list[tuple[Outcome, Reward]] = []

    def decide(self, observation: Observation) -> list[Decision]:
        return self.table.get(observation.epoch, [])

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        self.learned.append((outcome, reward))
        return {"reward": reward.total}


def adapt(slot: str, num_seeds: int | None = None) -> Decision:
    return Decision(
        kind=DecisionKind.ADAPT,
        reason="a test wants it",
        slot=slot,
        adaptation=Adaptation.ADD_NEURONS,
        num_seeds=num_seeds,
    )


def verdict(kind: DecisionKind, slot: str, seed: int) -> Decision:
    return Decision(kind=kind, reason="a test wants it", slot=slot, seed=seed)


def script(**table: list[Decision]) -> Script:
    """Return a policy from decisions by epoch: `script(e2=[...])`."""
    return Script(tuple((int(key[1:]), tuple(wanted)) for key, wanted in table.items()))


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.GELU(), nn.Dropout(0.2), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 3)
    )


def data(samples: int, rng_seed: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(rng_seed))
    return x, (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1).long()


TRAIN, VAL = data(48, 1), data(40, 2)


def train(model: nn.Module, optimizer: Optimizer) -> None:
    """Train an epoch as users do: the global generator shuffles and drops out."""
    model.train()
    for chosen in torch.randperm(48).split(12):
        optimizer.zero_grad()
        functional.cross_entropy(model(TRAIN[0][chosen]), TRAIN[1][chosen]).backward()
        optimizer.step()


def losses(model: nn.Module) -> Tensor:
    """Score the validation split; draws from the global generator as torch's data loader does."""
    torch.empty((), dtype=torch.int64).random_()
    return functional.cross_entropy(model(VAL[0]), VAL[1], reduction="none")


def losses_and_hits(model: nn.Module) -> tuple[Tensor, Tensor]:
    return losses(model), (model(VAL[0]).argmax(dim=1) == VAL[1]).float()


class Told:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.bus = EventBus()
        self.bus.subscribe(self.events.append)

    def of(self, kind: EventKind) -> list[Any]:
        return [event.body for event in self.events if event.kind is kind]


@dataclass
class Run:
    grower: Grower
    told: Told
    reports: list[StepReport]

    @property
    def model(self) -> nn.Module:
        return self.grower.host.model

    def stages(self, slot: str, seed: int) -> list[str]:
        moves = [m for m in self.told.of(EventKind.LIFECYCLE) if (m.slot, m.seed) == (slot, seed)]
        return [str(move.to_stage) for move in moves]


def make_grower(
    model: nn.Module | None = None,
    optimizer: Callable[..., Optimizer] = Adam,
    epochs: int = EPOCHS,
    **options: Any,
) -> tuple[Grower, Told]:
    told = Told()
    model = model or make_model()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    grower = Grower(
        model,
        optimizer(learning, lr=0.02),
        example_input=TRAIN[0][:4],
        epochs=epochs,
        bus=told.bus,
        **{"run_id": "test", **options},
    )
    return grower, told


def go(
    *,
    with_train: bool = True,
    evaluate: Callable[[nn.Module], Any] = losses_and_hits,
    steps: int = EPOCHS,
    **options: Any,
) -> Run:
    """Train for the budget, a step after each epoch."""
    grower, told = make_grower(**options)
    torch.manual_seed(7)
    reports = []
    for _ in range(steps):
        train(grower.host.model, grower.host.optimizer)
        reports.append(grower.step(evaluate, train if with_train else None))
    return Run(grower, told, reports)


def timeless(value: Any) -> Any:
    """Return a value with all that a clock measured left out."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not str(k).endswith("_ms")}
    return [timeless(each) for each in value] if isinstance(value, list | tuple) else value


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    keys = [key for key in mine if "esper_kernels" not in key]
    return keys == [k for k in theirs if "esper_kernels" not in k] and all(
        torch.equal(mine[key], theirs[key]) for key in keys
    )


def test_by_default_a_model_grows_and_every_seed_is_closed_at_the_end() -> None:
    run = go(policy=Schedule(fractions=(0.1, 0.2)))
    stages = {seed.stage for seed in run.grower.host.seeds()}
    assert not stages & LIVE
    moves = run.told.of(EventKind.LIFECYCLE)
    germinated = [move for move in moves if move.to_stage is SeedStage.GERMINATED]
    outcomes = run.grower.settlement.outcomes
    assert len(germinated) == len(outcomes) == 2
    assert {slot.spec.name for slot in run.reports[-1].observation.slots} == {"0", "3"}
    assert [report.metrics.epoch for report in run.reports] == list(range(1, EPOCHS + 1))
    assert run.reports[-1].metrics.global_step == 4 * EPOCHS


def test_a_seed_lives_as_the_lifecycle_says_and_its_end_is_judged_once() -> None:
    run = go(policy=script(e2=[adapt("0", 1)], e8=[verdict(DecisionKind.CULL, "0", 0)]))
    assert run.stages("0", 0) == [
        "GERMINATED", "TRAINING", "BLENDING", "SHADOWING", "PROBATIONARY",
        "CULLED", "EMBARGOED", "RESETTING", "DORMANT",
    ]  # fmt: skip
    (judged,) = run.told.of(EventKind.REWARD)
    assert (judged.outcome.germinated_epoch, judged.outcome.settled_epoch) == (2, 8)
    assert [point.epochs_since for point in judged.outcome.gains] == [1, 2, 3, 4, 5, 6]
    assert judged.outcome.gains[0].gain == 0.0
    assert -1 <= judged.reward.total <= 1
    assert len(run.grower.policy.learned) == 1
    kinds = [event.kind for event in run.told.events if event.epoch == 8]
    order = [EventKind.DECISION, EventKind.PLAN, EventKind.REWARD, EventKind.LEDGER]
    assert [kind for kind in kinds if kind in order] == order
    assert EventKind.POLICY_UPDATE in kinds


def test_what_happens_is_a_function_of_the_seed() -> None:
    def events(rng_seed: int) -> list[Any]:
        options = {"policy": Schedule(fractions=(0.1, 0.2)), "strategy": "thompson"}
        run = go(rng_seed=rng_seed, **options)
        return [(e.kind, e.epoch, timeless(asdict(e.body))) for e in run.told.events]

    first = events(3)
    assert first == events(3)
    assert len(first) > 30
    assert first != events(4)


def test_without_a_loop_credit_is_by_ablation_and_that_is_said() -> None:
    policy = script(e2=[adapt("0", 1)])
    alone, twinned = go(policy=policy, with_train=False), go(policy=policy)
    methods = [
        {found.method for found in run.told.of(EventKind.PERFORMANCE)} for run in (alone, twinned)
    ]
    assert methods == [{"ablation"}, {"twin"}]
    assert all(found.gain == found.ablation for found in alone.told.of(EventKind.PERFORMANCE))
    by_choice = go(policy=policy, growth=Growth(attribution="ablation"))
    assert {f.method for f in by_choice.told.of(EventKind.PERFORMANCE)} == {"ablation"}


def test_hits_need_not_be_known() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), evaluate=losses)
    assert {report.metrics.val_accuracy for report in run.reports} == {None}
    (outcome,) = run.grower.settlement.outcomes
    assert outcome.accuracy_gain is None
    assert outcome.gain is not None
    assert run.reports[-1].metrics.val_loss > 0


def test_an_evaluation_that_gives_no_loss_a_sample_is_refused_and_can_be_mended() -> None:
    grower, _ = make_grower()
    train(grower.host.model, grower.host.optimizer)
    with pytest.raises(ValueError, match="one loss per sample"):
        grower.step(lambda model: losses(model).mean())
    assert (grower.epoch, grower.host.steps_in_epoch) == (0, 4)
    assert grower.step(losses).metrics.epoch == 1
    assert grower.host.steps_per_epoch == 4


def test_a_budget_has_an_end() -> None:
    run = go(policy="never")
    with pytest.raises(ValueError, match="the budget of 14 epochs is over"):
        run.grower.step(losses)
    with pytest.raises(ValueError, match="epochs must be >= 1, got 0"):
        make_grower(epochs=0)


def test_what_is_open_at_the_end_of_the_budget_is_culled() -> None:
    run = go(
        policy=script(e7=[adapt("0", 1)], e8=[adapt("3", 1)]), grow_until=1.0, epochs=9, steps=9
    )
    assert run.stages("0", 0)[-2:] == ["CULLED", "EMBARGOED"]
    assert {o.reason for o in run.grower.settlement.outcomes} == {"the budget is over"}
    assert len(run.grower.settlement.outcomes) == 2
    assert not any("esper_kernels" in key for key in run.model.state_dict())
    assert len(run.grower.host.optimizer.param_groups) == 1


def test_a_seed_that_nobody_judges_is_culled_in_the_fourth_epoch_of_probation() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]))
    (outcome,) = run.grower.settlement.outcomes
    # TRAINING 3, BLENDING 4, SHADOWING 5 to 7, PROBATIONARY 8 to 11.
    assert outcome.settled_epoch == 11
    assert outcome.reason == "no verdict within 4 epochs of probation"


def test_seeds_live_in_several_slots_and_several_in_one() -> None:
    run = go(
        policy=script(e2=[adapt("0", 2), adapt("3", 2)]),
        orchestrator="diversify",
        viability=Viability(max_concurrent_seeds=3),
        steps=6,
    )
    live = [(seed.slot, seed.seed) for seed in run.reports[-1].observation.live_seeds]
    assert len(live) == 4
    assert {slot for slot, _ in live} == {"0", "3"}
    assert len(run.grower.host.optimizer.param_groups) == 5
    assert len(run.grower.pending.changes) == 2
    assert {(f.slot, f.seed) for f in run.told.of(EventKind.PERFORMANCE)} == set(live)
    by_slot: dict[str, set[str]] = {}
    for seed in run.reports[-1].observation.live_seeds:
        by_slot.setdefault(seed.slot, set()).add(seed.bound)
    assert all(len(names) == 2 for names in by_slot.values())


def test_growing_something_that_does_nothing_is_not_felt_at_all() -> None:
    idle = {"blueprint": ("noop",), "viability": Viability(fallback_to_zero=False)}
    grown = go(policy=script(e2=[adapt("0", 1)], e3=[adapt("3", 1)]), **idle)
    never = go(policy="never")
    assert len(grown.grower.settlement.outcomes) == 2
    assert same_weights(grown.model, never.model)
    assert [r.metrics.val_loss for r in grown.reports] == [
        r.metrics.val_loss for r in never.reports
    ]
    assert {outcome.gain for outcome in grown.grower.settlement.outcomes} == {0.0}


@pytest.mark.parametrize("cull", [4, 8])
def test_a_culled_seed_has_never_been_where_the_run_goes_on_from_the_twin(cull: int) -> None:
    table = {"e2": [adapt("0", 1)], f"e{cull}": [verdict(DecisionKind.CULL, "0", 0)]}
    grown = go(policy=script(**table), growth=Growth(on_cull="twin"))
    assert same_weights(grown.model, go(policy="never").model)
    assert not same_weights(go(policy=script(**table)).model, grown.model)


def test_a_frozen_part_of_the_host_stays_frozen() -> None:
    model = make_model()
    model[0].requires_grad_(False)
    before = {key: value.clone() for key, value in model[0].state_dict().items()}  # type: ignore[index]
    run = go(model=model, policy=script(e2=[adapt("0", 1)]), steps=6, optimizer=SGD)
    assert all(torch.equal(run.model.state_dict()[f"0.{k}"], v) for k, v in before.items())
    assert run.stages("0", 0)[-1] == "SHADOWING"
    bank = run.model.get_submodule("0.esper_kernels.kernels.0")
    assert any(float(p.grad.abs().sum()) > 0 for p in bank.parameters() if p.grad is not None)


def rates(*, named: bool) -> list[float]:
    """Return the host's learning rates under a scheduler that takes no further groups."""
    model = make_model()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = LambdaLR(optimizer, lambda epoch: 0.8**epoch)
    options = {"schedulers": [scheduler]} if named else {}
    example, policy = TRAIN[0][:4], script(e1=[adapt("0", 1)])
    grower = Grower(model, optimizer, example_input=example, epochs=9, policy=policy, **options)
    found = []
    for _ in range(4):
        train(model, optimizer)
        found.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
        grower.step(losses, train)
    return found


def test_a_scheduler_of_the_users_goes_on_when_it_is_named() -> None:
    assert rates(named=True) == pytest.approx([0.1, 0.08, 0.064, 0.0512])
    with pytest.raises(ValueError, match="zip"):
        rates(named=False)


def test_a_decision_that_cannot_be_carried_out_is_told_and_changes_nothing() -> None:
    # Both are written for the same seed, of which the first leaves nothing to fossilize.
    wrong = [verdict(DecisionKind.CULL, "0", 0), verdict(DecisionKind.CULL, "0", 0)]
    run = go(policy=script(e2=[adapt("0", 1)], e5=wrong))
    refused = run.told.of(EventKind.SAFETY)
    assert len(refused) == 1
    assert refused[0].decision is wrong[1]
    assert len(run.grower.settlement.outcomes) == 1


@pytest.fixture
def broken_blueprint() -> Iterator[str]:
    def build(*_: Any) -> nn.Module:
        raise ZeroDivisionError("a user's mistake")

    catalogue.register(
        Blueprint(
            name="broken",
            fits_in=sites([SlotKind.DENSE], Placement),
            risk=0.5,
            build=build,
            cost=lambda *_: Cost(),
        )
    )
    yield "broken"
    del catalogue._added["broken"]


def test_a_blueprint_that_cannot_be_built_does_not_end_the_run(broken_blueprint: str) -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), blueprint=(broken_blueprint,), steps=4)
    attempts = run.told.of(EventKind.KERNEL)
    assert attempts
    assert all("ZeroDivisionError: a user's mistake" in attempt.error for attempt in attempts)
    assert run.grower.host.num_parameters == sum(p.numel() for p in make_model().parameters())
    assert run.reports[-1].observation.live_seeds == ()


@pytest.mark.parametrize(
    ("since", "reason"), [(4, "loss not measured"), (5, "measurements 0 (>= 3)")]
)
def test_a_loss_that_is_no_number_keeps_nothing_and_ends_nothing(since: int, reason: str) -> None:
    def lost(model: nn.Module) -> tuple[Tensor, Tensor]:
        found, hits = losses_and_hits(model)
        felt = any("esper_kernels" in key for key in model.state_dict())
        return (found * math.nan if felt and run_epoch[0] >= since else found), hits

    run_epoch = [0]

    def counted(model: nn.Module) -> tuple[Tensor, Tensor]:
        run_epoch[0] += model is grower.host.model
        return lost(model)

    grower, _ = make_grower(policy=script(e2=[adapt("0", 1)]))
    for _ in range(EPOCHS):
        train(grower.host.model, grower.host.optimizer)
        report = grower.step(counted, train)
    (outcome,) = grower.settlement.outcomes
    assert not outcome.fossilized
    assert reason in outcome.reason
    assert outcome.gain is not None
    assert outcome.gain < 0
    assert math.isfinite(report.metrics.val_loss)


def test_kernels_are_ranked_at_birth_where_a_loss_is_given() -> None:
    def loss(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(TRAIN[0]), TRAIN[1])

    grower, told = make_grower(policy=script(e1=[adapt("0", 1)]), strategy="ucb")
    train(grower.host.model, grower.host.optimizer)
    grower.step(losses, train, loss=loss)
    (selection,) = told.of(EventKind.SELECTION)
    assert "first by first-order score of 4 untried" in selection.reason
    assert selection.seed is not None


def test_the_cost_of_a_step_counts_network_twins_and_evaluations() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), steps=6)
    bare = run.grower.host.base_flops
    assert bare == 2 * (4 * 6 + 6 * 6 + 6 * 3)
    # Four steps of batches like the example, of 4 samples; without a report that is all it knows.
    assert run.reports[0].flops == 3 * bare * 16
    grown = run.grower.host.flops
    assert run.reports[2].flops == 3 * grown * 16 + 3 * bare * 16 + bare * 40
    # In SHADOWING the network is evaluated once more, with the seed muted.
    assert run.reports[4].flops == run.reports[2].flops + grown * 40


def test_what_training_gave_is_passed_on() -> None:
    grower, _ = make_grower(policy="never")
    report = grower.step(losses, trained=TrainReport(loss=0.5, accuracy=0.75, num_samples=48))
    assert (report.metrics.train_loss, report.metrics.train_accuracy) == (0.5, 0.75)
    assert report.flops == 3 * grower.host.base_flops * 48


def test_growing_stops_with_the_constant_part_of_the_schedule() -> None:
    run = go(policy=script(e4=[adapt("0", 1)], e5=[adapt("3", 1)]), grow_until=0.34)
    assert [report.observation.may_grow for report in run.reports[:6]] == [True] * 4 + [False] * 2
    assert run.stages("0", 0)[0] == "GERMINATED"
    assert run.stages("3", 0) == []


def test_dormant_growth_is_not_felt() -> None:
    model, bare = make_model(), make_model()
    optimizer = Adam(bare.parameters(), lr=0.02)
    run = go(model=model, policy="never", evaluate=lambda m: functional.cross_entropy(
        m(VAL[0]), VAL[1], reduction="none"))  # fmt: skip
    torch.manual_seed(7)
    for _ in range(EPOCHS):
        train(bare, optimizer)
    assert same_weights(run.model, bare)
    assert list(model.state_dict()) == list(bare.state_dict())


def test_the_store_is_let_go_of(tmp_path: Any) -> None:
    from esper.strategy.store.sqlite import SQLite

    store = SQLite(path=str(tmp_path / "store.db"))
    run = go(
        policy=script(e2=[adapt("0", 1)], e6=[verdict(DecisionKind.CULL, "0", 0)]), store=store
    )
    run.grower.close()
    again, _ = make_grower(store=store, run_id="another")
    assert [entry.run for entry in again.settlement.snapshot] == ["test"]
    again.close()


def test_an_option_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no option 'stratgy' \(did you mean: strategy\)"):
        make_grower(stratgy="ucb")
    assert isinstance(make_grower()[0].choices, Choices)
