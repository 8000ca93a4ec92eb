from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.attribution.evaluation import evaluate_model, repeatable
from tests.unit.growth.builders import make_model


def test_losses_and_hits_are_averaged() -> None:
    found = evaluate_model(lambda _: (torch.tensor([1.0, 2.0, 6.0]), [1, 0, 0.5]), nn.Identity())
    assert (found.loss, found.accuracy) == (3.0, 0.5)
    assert found.losses_N.dtype is torch.float64


@pytest.mark.parametrize(
    "given", [torch.tensor([1.0, 2.0]), [1.0, 2.0], (torch.tensor([1.0, 2.0]), None)]
)
def test_hits_need_not_be_given(given: Any) -> None:
    found = evaluate_model(lambda _: given, nn.Identity())
    assert (found.loss, found.accuracy, found.hits_N) == (1.5, None, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.tensor(1.0), r"one loss per sample, .* got shape \(\)"),
        (torch.ones(1), r"at least 2 .* got shape \(1,\)"),
        (torch.ones(2, 2), r"got shape \(2, 2\)"),
        (torch.ones(3, 1), r"got shape \(3, 1\): return losses.squeeze\(1\)"),
        (
            (torch.ones(3), torch.ones(2)),
            r"a hit for every loss, got \(2,\) hits for \(3,\) losses",
        ),
    ],
)
def test_anything_but_a_loss_a_sample_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_model(lambda _: given, nn.Identity())


@pytest.mark.parametrize(
    ("losses", "dtype"),
    [
        (torch.tensor([True, False, True]), "torch.bool"),
        (torch.tensor([1, 0, 1]), "torch.int64"),
        ([1, 0, 1], "torch.int64"),
        (torch.ones(3, dtype=torch.complex64), "torch.complex64"),
    ],
)
@pytest.mark.parametrize("with_hits", [True, False])
def test_hits_are_no_losses(losses: Any, dtype: str, with_hits: bool) -> None:
    given = (losses, torch.ones(3)) if with_hits else losses
    with pytest.raises(ValueError, match=f"losses as floating-point numbers, got {dtype}"):
        evaluate_model(lambda _: given, nn.Identity())


def test_hits_may_be_truths_or_whole_numbers() -> None:
    for hits in (torch.tensor([True, False]), torch.tensor([1, 0])):
        found = evaluate_model(lambda _, h=hits: (torch.ones(2), h), nn.Identity())
        assert found.accuracy == 0.5


def test_a_model_is_evaluated_without_a_graph_and_each_module_keeps_its_mode() -> None:
    model = make_model("batch_norm").train()
    norm = model.get_submodule("stage1.block1.norm1")
    norm.eval()
    modes = [module.training for module in model.modules()]

    def look(seen: nn.Module) -> Tensor:
        assert seen is model
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        return torch.ones(2)

    evaluate_model(look, model)
    assert [module.training for module in model.modules()] == modes
    assert not norm.training


def test_an_evaluation_that_draws_draws_the_same_again_and_moves_no_generator() -> None:
    def drawing(_: nn.Module) -> Tensor:
        return torch.rand(3)

    torch.manual_seed(4)
    again = repeatable(drawing)
    first = drawing(nn.Identity())
    state = torch.get_rng_state()

    assert torch.equal(again(nn.Identity()), first)
    assert torch.equal(again(nn.Identity()), first)
    assert torch.equal(torch.get_rng_state(), state)
