"""The scores of kernels from the gradient of their block's output."""

import pytest
import torch

from esper.attribution.birth import Unborn, birth_scores
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import make_host
from tests.unit.growth.faulty import offered

SOURCE = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
SLOPE = torch.randn(7, 8, generator=torch.Generator().manual_seed(2))


def unborn(*names: str, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> list[Unborn]:
    """Return kernels beside a block that leads from 4 to 8 features."""
    host = make_host("mlp", placement="parallel")
    return [
        Unborn(
            key=("block1", seed),
            kernel=build_kernel(host.request("block1", seed, name, 0)),
            source_B=SOURCE.to(dtype),
            slope_B=SLOPE.to(dtype) * scale,
            like=torch.zeros(1, dtype=dtype),
        )
        for seed, name in enumerate(names)
    ]


def score_of(one: Unborn) -> float:
    return birth_scores([one])[one.key]


def test_the_score_is_the_l1_norm_of_the_gradient() -> None:
    (affine,) = unborn("affine")
    affine.kernel.module.train()
    # The gradient of a product, and of its bias.
    expected = (SLOPE.T @ SOURCE).abs().sum() + SLOPE.sum(dim=0).abs().sum()
    assert score_of(affine) == pytest.approx(float(expected), rel=1e-5)
    assert all(parameter.grad is None for parameter in affine.kernel.module.parameters())
    assert score_of(unborn("affine", scale=2.0)[0]) == pytest.approx(2 * float(expected), rel=1e-5)


def test_kernels_score_together_as_alone() -> None:
    several = unborn("affine", "mlp", "frozen_random", "lora")
    together = birth_scores(several)
    assert together == pytest.approx({each.key: score_of(each) for each in several})
    assert together["block1", 2] == 0.0, "it cannot learn"
    assert len(set(together.values())) == 4
    assert birth_scores([]) == {}


def test_a_kernel_takes_the_type_of_the_blocks_weights() -> None:
    (double,) = unborn("affine", dtype=torch.float64)
    assert score_of(double) == pytest.approx(score_of(unborn("affine")[0]), rel=1e-5)
    assert {p.dtype for p in double.kernel.module.parameters()} == {torch.float64}


@pytest.mark.parametrize("where", ["forward", "backward", "gives"])
def test_a_kernel_that_fails_has_no_score_and_the_others_have_theirs(where: str) -> None:
    with offered("bad", "good") as troubles:
        several = unborn("good", "bad", "affine")
        expected = birth_scores([several[0], several[2]])
        how = (lambda y: y[:1]) if where == "gives" else RuntimeError("mistake")
        setattr(troubles["bad"], where, how)
        assert birth_scores(several) == expected
        assert set(expected) == {("block1", 0), ("block1", 2)}
