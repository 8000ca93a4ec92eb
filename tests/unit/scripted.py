"""A grower in a loop of a user's own, with decisions that are written down beforehand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.event import Event, EventKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.step import StepReport
from esper.grower.grower import Grower
from esper.logger.bus import EventBus
from esper.policy.base import Policy
from esper.safety.options import Safety
from esper.store.memory import Memory

EPOCHS = 14
LAVISH = Safety(max_cost=9.0)
"""Kernels are large beside the network of these runs."""
PLAIN: dict[str, Any] = {"safety": LAVISH, "store": Memory(prior="none")}
"""Every kernel can be paid, and no earlier run is known."""
Table = dict[int, list[Decision]]


@dataclass(frozen=True)
class Script:
    """A policy that decides what is written down beforehand, by epoch."""

    table: tuple[tuple[int, tuple[Decision, ...]], ...] = ()

    def build(self, rng_seed: int) -> "ScriptPolicy":
        del rng_seed
        return ScriptPolicy({epoch: list(decisions) for epoch, decisions in self.table})


class ScriptPolicy(Policy):
    name = "script"

    def __init__(self, table: Table) -> None:
        self.table = table
        self.learned: list[tuple[Outcome, Reward]] = []

    def decide(self, observation: Observation) -> list[Decision]:
        return self.table.get(observation.epoch, [])

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        self.learned.append((outcome, reward))
        return {"reward": reward.total}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        del state


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
        epochs=epochs,
        bus=told.bus,
        **{"example_input": TRAIN[0][:4], "run_id": "test", **PLAIN, **options},
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
