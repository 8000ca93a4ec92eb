"""Wrong arguments of a grower and its step: one line each, and nothing is attached."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR, StepLR

from esper.contracts.errors import ConfigError
from esper.contracts.metrics import TrainReport
from esper.grower.grower import Grower
from esper.probe.tensors import weights_norm
from tests.unit.scripted import TRAIN, adapt, losses, make_grower, make_model, script, train

FINE: dict[str, Any] = {"example_input": TRAIN[0][:4], "epochs": 9}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rng_seed": "a"}, "rng_seed must be a whole number, got 'a'"),
        ({"rng_seed": 1.5}, "rng_seed must be a whole number, got 1.5"),
        ({"rng_seed": None}, "rng_seed must be a whole number, got None"),
        ({"rng_seed": True}, "rng_seed must be a whole number, got True"),
        ({"epochs": "9"}, "epochs must be a whole number >= 1, or 'auto', got '9'"),
        ({"epochs": 0}, "epochs must be a whole number >= 1, or 'auto', got 0"),
        ({"epochs": True}, "epochs must be a whole number >= 1, or 'auto', got True"),
        ({"bus": print}, "bus must be an esper.EventBus, got <built-in function print>"),
        ({"bus": []}, r"bus must be an esper.EventBus, got \[\]"),
        ({"chance_loss": "1"}, "chance_loss must be > 0 and finite"),
        ({"example_input": {"x": TRAIN[0]}}, "example_input must be one tensor, .* got a dict"),
        ({"example_input": 4}, "example_input must be one tensor, .* got a int"),
        ({"schedulers": "cosine"}, "schedulers must be a list of schedulers, got str"),
        ({"strategy": 3}, "strategy must be a name or an option object, got 3"),
    ],
)
def test_a_wrong_argument_attaches_nothing(given: dict[str, Any], message: str) -> None:
    model = make_model()
    optimizer = Adam(model.parameters())
    modules = [type(module) for module in model.modules()]
    before = set(vars(optimizer))
    with pytest.raises((ConfigError, ValueError), match=f"^{message}"):
        Grower(model, optimizer, **{**FINE, **given})
    assert [type(module) for module in model.modules()] == modules
    assert set(vars(optimizer)) == before
    # The same parts serve once the mistake is mended.
    Grower(model, optimizer, **FINE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evaluate": None}, "evaluate must be a function of the model, got None"),
        ({"evaluate": torch.ones(3)}, "evaluate must be a function of the model, got tensor"),
        ({"train": 3}, "train must be a function, got 3"),
        ({"loss": torch.ones(())}, "loss must be a function, got tensor"),
        ({"trained": 0.3}, "trained must be an esper.TrainReport, got 0.3"),
    ],
)
def test_a_wrong_argument_of_a_step_takes_no_step(given: dict[str, Any], message: str) -> None:
    grower, told = make_grower()
    with pytest.raises(ValueError, match=f"^{message}"):
        grower.step(**{"evaluate": losses, **given})
    assert (grower.epoch, told.events) == (0, [])
    train(grower.host.model, grower.host.optimizer)
    grower.step(losses, train)


def test_hits_for_losses_are_refused_before_the_epoch_counts() -> None:
    grower, _ = make_grower()
    train(grower.host.model, grower.host.optimizer)
    with pytest.raises(ValueError, match="these look like hits"):
        grower.step(lambda model: model(TRAIN[0]).argmax(1) == TRAIN[1])
    assert grower.epoch == 0


def test_training_with_another_optimizer_is_refused() -> None:
    grower, told = make_grower()
    model, own = grower.host.model, grower.host.optimizer
    train(model, own)
    grower.step(losses)
    heard = len(told.events)
    train(model, SGD(model.parameters(), lr=0.1))
    message = "^the weights changed .* but the Adam that the grower was given took no step"
    with pytest.raises(ValueError, match=message):
        grower.step(losses)
    assert (grower.epoch, len(told.events)) == (1, heard)
    train(model, own)
    grower.step(losses)


def test_weights_that_broke_in_an_epoch_without_a_step_are_the_governors() -> None:
    grower, _ = make_grower()
    model = grower.host.model
    train(model, grower.host.optimizer)
    grower.step(losses)
    before = weights_norm(model)
    nn.init.constant_(next(model.parameters()), float("nan"))
    assert grower.step(losses, trained=TrainReport(is_finite=False)).has_rolled_back
    assert weights_norm(model) == before


def test_training_in_eval_mode_is_refused() -> None:
    grower, _ = make_grower()
    model, optimizer = grower.host.model.eval(), grower.host.optimizer
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(TRAIN[0]), TRAIN[1]).backward()
        optimizer.step()
    with pytest.raises(ValueError, match=r"^the model was trained in eval mode"):
        grower.step(losses)
    train(model.train(), optimizer)
    grower.step(losses)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_sample_whose_loss_is_never_finite_is_named_after_the_first_epoch(value: float) -> None:
    grower, _ = make_grower()

    def broken(model: nn.Module) -> torch.Tensor:
        scores = losses(model)
        scores[[3, 5]] = value
        return scores

    train(grower.host.model, grower.host.optimizer)
    message = rf"^evaluate must return finite losses, got {value} for sample 3 \(2 of \d+ are not"
    with pytest.raises(ValueError, match=message):
        grower.step(broken)
    assert grower.epoch == 0
    grower.step(losses)
    train(grower.host.model, grower.host.optimizer)
    report = grower.step(broken)
    assert report.has_rolled_back
    assert "rolled back" in repr(report)


@pytest.mark.parametrize("kind", [StepLR, LambdaLR])
def test_a_scheduler_made_after_the_grower_is_refused_at_the_next_step(kind: Any) -> None:
    model = make_model()
    optimizer = SGD(model.parameters(), lr=0.1)
    grower = Grower(model, optimizer, **FINE, policy=script(e1=[adapt("0", 1)]))
    kind(optimizer, (lambda epoch: 0.9) if kind is LambdaLR else 2)
    train(model, optimizer)
    with pytest.raises(ConfigError, match=r"made after the grower: .*schedulers=\[scheduler\]"):
        grower.step(losses)
    assert grower.epoch == 0
    assert not any(name.endswith("esper_kernels") for name, _ in model.named_modules())


def test_numpy_numbers_are_whole_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3))
    given = {**FINE, "rng_seed": numpy.int64(3), "epochs": numpy.int64(4)}
    assert Grower(model, Adam(model.parameters()), **given).epochs == 4
