"""Growth in a user's own training loop: a model, an optimizer and functions of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

import esper
from esper.attribution.options import Attribution
from esper.contracts.event import Event
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.growth.options import ReadOut
from esper.safety.options import Safety

EPOCHS = 20
LAVISH = Safety(max_cost=4.0)
"""Kernels are large beside this network."""


class Residual(nn.Module):
    """A block as people write them, which has never heard of growth."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 2)
        self.outer = nn.Linear(2, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` and what the block adds."""
        return x + self.outer(torch.tanh(self.inner(x)))


class Net(nn.Module):
    """Two blocks between an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 12)
        self.first = Residual(12)
        self.second = Residual(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return a score for each of three classes."""
        return self.head(self.second(self.first(torch.tanh(self.embed(x)))))


def spirals(num_samples: int) -> tuple[Tensor, Tensor]:
    """Return points on three arms that wind around each other, and their arms."""
    t = torch.rand(num_samples)
    y = torch.arange(num_samples) % 3
    angle = 2 * torch.pi * (1.25 * t + y / 3)
    return torch.stack([t * angle.cos(), t * angle.sin()], dim=1) * 2, y


@dataclass
class Loop:
    """What a user's script holds: data, a model, a plain optimizer, a scheduler."""

    bus: esper.EventBus = field(default_factory=esper.EventBus)
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        (self.train_x, self.train_y), (self.val_x, self.val_y) = spirals(600), spirals(200)
        self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.2, momentum=0.9)
        self.generator = torch.Generator().manual_seed(0)
        self.grower = esper.Grower(
            self.model,
            self.optimizer,
            example_input=self.train_x[:4],
            epochs=EPOCHS,
            rng_seed=0,
            bus=self.bus,
            **self.options,
        )

    def train_one_epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Train as any script does; the grower also calls it for the twins."""
        model.train()
        for rows in torch.randperm(len(self.train_x), generator=self.generator).split(30):
            loss = nn.functional.cross_entropy(model(self.train_x[rows]), self.train_y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def losses_and_hits(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Score every validation sample."""
        model.eval()
        with torch.no_grad():
            scores = model(self.val_x)
        losses = nn.functional.cross_entropy(scores, self.val_y, reduction="none")
        return losses, scores.argmax(dim=1) == self.val_y


Grown = tuple[Loop, list[Event], list[float]]
"""A loop that was run to its end, its events, and its losses."""


def grown(*, with_twin: bool = False, **options: object) -> Grown:
    """Run a loop to its end."""
    events: list[Event] = []
    bus = esper.EventBus()
    bus.subscribe(events.append)
    loop = Loop(bus, {"safety": LAVISH, **options})
    losses = []
    for _ in range(EPOCHS):
        loop.train_one_epoch(loop.model, loop.optimizer)
        train: Callable[..., None] | None = loop.train_one_epoch if with_twin else None
        report = loop.grower.step(evaluate=loop.losses_and_hits, train=train)
        losses.append(report.metrics.val_loss)
    return loop, events, losses


def stages_of(events: list[Event]) -> list[str]:
    return [str(event.body.to_stage) for event in events if event.kind == "lifecycle"]


@pytest.fixture(scope="module")
def finished() -> Grown:
    return grown(policy="heuristic", strategy="thompson")


@pytest.fixture(scope="module")
def repeated() -> Grown:
    return grown(policy="heuristic", strategy="thompson")


def test_the_network_grows_and_is_judged_with_its_kernels_muted(
    finished: Grown,
) -> None:
    _, events, losses = finished
    assert losses[-1] < losses[0]
    assert {"GERMINATED", "TRAINING", "BLENDING", "SHADOWING"} <= set(stages_of(events))
    assert {"FOSSILIZED", "CULLED"} & set(stages_of(events))
    methods = {event.body.method for event in events if event.kind == "performance"}
    assert methods == {"muting"}
    assert {e.body.strategy for e in events if e.kind == "selection"} == {"thompson"}


def test_the_model_stays_the_users_model(
    finished: Grown,
) -> None:
    loop = finished[0]
    assert isinstance(loop.model, Net)
    assert isinstance(loop.model.first, Residual)
    assert loop.grower.host.model is loop.model
    bare = set(Net().state_dict())
    assert bare <= set(loop.model.state_dict())
    added = set(loop.model.state_dict()) - bare
    assert all(".esper_kernels." in name for name in added)


def test_the_optimizer_holds_every_weight_once(
    finished: Grown,
) -> None:
    loop = finished[0]
    held = [p for group in loop.optimizer.param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == set(loop.model.parameters())


def test_nothing_is_left_open_at_the_end(
    finished: Grown,
) -> None:
    host: Host = finished[0].grower.host
    assert not any(seed.stage in LIVE for seed in host.seeds())
    with pytest.raises(ValueError, match="the budget of 20 epochs is over"):
        finished[0].grower.step(evaluate=finished[0].losses_and_hits)


def test_a_twin_is_trained_by_the_users_own_function() -> None:
    by_twin = Attribution(method="twin")
    _, events, _ = grown(with_twin=True, policy="heuristic", attribution=by_twin)
    methods = {event.body.method for event in events if event.kind == "performance"}
    assert methods == {"twin"}


def test_the_model_ends_with_its_best_average(repeated: Grown) -> None:
    loop, _, losses = repeated
    epoch = loop.grower.read_out()
    assert epoch == 1 + losses.index(min(losses))
    assert loop.losses_and_hits(loop.model)[0].mean().item() == pytest.approx(min(losses))


def test_the_same_rng_seed_gives_the_same_growth(finished: Grown, repeated: Grown) -> None:
    _, events, losses = repeated
    assert losses == finished[2]
    assert stages_of(events) == stages_of(finished[1])


def test_a_network_that_never_grows_trains_as_without_esper() -> None:
    loop, events, losses = grown(policy="never", run=ReadOut(average=0))
    assert {event.kind for event in events} == {"decision"}
    bare = Loop(options={"policy": "never"})
    model = Net()
    model.load_state_dict(bare.model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for _ in range(EPOCHS):
        bare.train_one_epoch(model, optimizer)
    assert losses[-1] == pytest.approx(bare.losses_and_hits(model)[0].mean().item())
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loop.model.state_dict()[name])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategi": "ucb"}, "no option 'strategi' .*did you mean: strategy"),
        ({"grow_until": 0.5}, r"no option 'grow_until': it is now .*Heuristic\(grow_until=0.6\)"),
        ({"strategy": "thomson"}, "strategy must be one of ucb, thompson, .* got 'thomson'"),
        ({"slots": ("frist",)}, "no module 'frist' in the host .*near matches: first"),
        ({"blueprint": ["conv"]}, r"blueprint.names=\[conv\] does not fit .*what does: mlp"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(options: dict[str, object], words: str) -> None:
    with pytest.raises(esper.EsperError, match=words):
        Loop(options=options)
