import random

import pytest
import torch
from torch import Tensor, nn

from esper.probe.flops import forward_flops
from tests.unit.growth.builders import make_input, make_model


def test_products_are_counted_a_sample() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    assert forward_flops(model, torch.ones(7, 4)) == 2 * (4 * 5 + 5 * 3)
    image = nn.Conv2d(2, 3, 3, padding=1)
    assert forward_flops(image, torch.ones(5, 2, 4, 4)) == 2 * 16 * 2 * 3 * 9


def test_fused_attention_is_counted() -> None:
    class Attending(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    # Scores and mixture of 6 positions with 4 features, 2 heads.
    assert forward_flops(Attending(), torch.ones(3, 2, 6, 4)) == 2 * 2 * 2 * 6 * 6 * 4


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_no_trace(training: bool) -> None:
    model, x = make_model("batch_norm").train(training), make_input("batch_norm")
    model.get_submodule("stage1.block1.norm1").eval()
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    generators = (random.getstate(), torch.get_rng_state())
    with torch.no_grad():
        assert forward_flops(model, x) > 0
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert random.getstate() == generators[0]
    assert torch.equal(torch.get_rng_state(), generators[1])
