"""Users' models, optimizers and functions: they work, or one line says why not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LambdaLR

import esper
from esper.attribution.options import Attribution
from esper.contracts.errors import ConfigError
from esper.contracts.slot import Placement
from esper.safety.options import Safety

X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def host() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 8)), nn.Linear(8, 2)
    )


def losses(model: nn.Module) -> Tensor:
    return nn.functional.cross_entropy(model(X), Y, reduction="none")


def train(model: nn.Module, optimizer: Optimizer) -> None:
    for rows in torch.randperm(len(X)).split(8):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X[rows]), Y[rows]).backward()
        optimizer.step()


def grow(
    model: nn.Module, optimizer: Optimizer, evaluate: Any = losses, **options: Any
) -> list[str]:
    """Train for 12 epochs by a fixed schedule; return the stages that seeds reached."""
    # The kernels cost more than this small network.
    settings = {"policy": "schedule", "safety": Safety(max_cost=20.0), **options}
    grower = esper.Grower(model, optimizer, example_input=X[:4], epochs=12, **settings)
    stages = []
    for _ in range(12):
        train(model, optimizer)
        stages += [move.to_stage for move in grower.step(evaluate, train).moves]
    return stages


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (LBFGS, "LBFGS takes no further group"),
        (SparseAdam, "SparseAdam takes no further group"),
        (getattr(torch.optim, "Muon", None), "Muon takes no further group"),
    ],
)
def test_an_optimizer_that_cannot_train_kernels_is_refused(make: Any, reason: str) -> None:
    if make is None:
        pytest.skip("this torch has no Muon")
    model = host()
    with pytest.raises(ConfigError, match=reason):
        grow(model, make([weight for weight in model.parameters() if weight.dim() == 2]))


def test_a_scheduler_must_be_named_and_then_works() -> None:
    model = host()
    optimizer = Adam(model.parameters(), lr=0.01)
    scheduler = LambdaLR(optimizer, lambda epoch: 0.9**epoch)
    with pytest.raises(ConfigError, match=r"add schedulers=\[scheduler\]"):
        grow(model, optimizer)
    stages = grow(model, optimizer, schedulers=[scheduler])
    assert "BLENDING" in stages
    scheduler.step()


def test_a_second_grower_is_refused() -> None:
    model = host()
    optimizer = Adam(model.parameters())
    esper.Grower(model, optimizer, example_input=X[:4], epochs=2)
    with pytest.raises(ConfigError, match="has a grower already"):
        esper.Grower(model, optimizer, example_input=X[:4], epochs=2)


def test_what_an_optimizer_keeps_beside_its_groups_reaches_the_twin() -> None:
    class Scaled(SGD):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, lr=0.1)
            self.scale = 2.0

        def step(self, closure: Any = None) -> Any:
            assert self.scale == 2.0
            return super().step(closure)

    model = host()
    twin = Attribution(method="twin")
    assert "SHADOWING" in grow(model, Scaled(model.parameters()), attribution=twin)


def test_a_negative_loss_does_not_count_as_diverging() -> None:
    model = host()
    stages = grow(model, Adam(model.parameters()), lambda model: losses(model) - 10.0)
    assert "SHADOWING" in stages


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "got NoneType"),
        ([torch.ones(3), torch.ones(3)], "got list"),
        ((torch.ones(3), torch.full((3,), 7.0)), r"hits in \[0, 1\], got 7.0"),
        ((torch.ones(3), torch.full((3,), torch.nan)), r"hits in \[0, 1\], got nan"),
        ((torch.ones(3), torch.ones(3), torch.ones(3)), "got tuple"),
    ],
)
def test_what_evaluate_gives_is_checked(given: Any, message: str) -> None:
    model = host()
    with pytest.raises(ValueError, match=message):
        grow(model, Adam(model.parameters()), lambda model: given)


def test_a_budget_is_a_whole_number() -> None:
    model = host()
    with pytest.raises(ValueError, match=r"got 2\.5"):
        esper.Grower(
            model,
            Adam(model.parameters()),
            example_input=X[:4],
            epochs=2.5,  # type: ignore[arg-type]
        )


class Residual(nn.Module):
    """Changes the input of its block in place after the block has read it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.block = nn.Sequential(nn.ReLU(), nn.Linear(8, 8))
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x += self.block(x)
        return self.last(x)


def test_a_block_whose_input_is_changed_afterwards_grows_in_series() -> None:
    torch.manual_seed(0)
    model = Residual()
    optimizer = Adam(model.parameters())
    grower = esper.Grower(model, optimizer, example_input=X[:4], epochs=2, slots=("block",))
    assert grower.host.slots["block"].spec.placement is Placement.SERIES
    grown = Residual()
    assert "BLENDING" in grow(grown, Adam(grown.parameters()), slots=("block",))
    fresh = Residual()
    with pytest.raises(ConfigError, match="'block' cannot hold a slot"):
        grow(fresh, Adam(fresh.parameters()), slots=("block",), placement="parallel")


def test_a_sequence_first_host_is_refused_whatever_its_length() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.view(len(x), 8, 8).transpose(0, 1)).mean(0)

    model = Reader()
    with pytest.raises(ConfigError, match="does not begin with the batch"):
        esper.Grower(
            model,
            Adam(model.parameters()),
            example_input=torch.randn(4, 64),
            epochs=2,
            slots=("layer",),
        )


def test_channels_before_positions_are_refused() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(24, 2))
    with pytest.raises(ConfigError, match="channels before positions"):
        esper.Grower(
            model,
            Adam(model.parameters()),
            example_input=torch.randn(4, 1, 6),
            epochs=2,
            slots=("0",),
        )


def test_a_blueprint_can_be_registered_after_the_package_was_used() -> None:
    assert callable(esper.Grower)
    assert callable(esper.register_blueprint)
