"""The score of a kernel from the gradient of its block's output."""

import pytest
import torch

from esper.attribution.birth import birth_score
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import make_host
from tests.unit.growth.faulty import offered

KEY = "block1", 0
SOURCE = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
SLOPE = torch.randn(7, 8, generator=torch.Generator().manual_seed(2))


def kernel_of(name: str) -> Kernel:
    host = make_host("mlp", placement="parallel")
    return build_kernel(host.request(*KEY, name, 0))


def test_the_score_is_the_l1_norm_of_the_gradient() -> None:
    kernel = kernel_of("affine")
    kernel.module.train()
    score = birth_score(KEY, kernel, SOURCE, SLOPE, None)
    # The gradient of a product, and of its bias.
    expected = (SLOPE.T @ SOURCE).abs().sum() + SLOPE.sum(dim=0).abs().sum()
    assert score == pytest.approx(float(expected), rel=1e-5)
    assert not any(parameter.grad is not None for parameter in kernel.module.parameters())
    assert birth_score(KEY, kernel, SOURCE, 2 * SLOPE, None) == pytest.approx(2 * score)


def test_a_kernel_that_cannot_learn_scores_nothing() -> None:
    for name in ("noop", "frozen_random"):
        host = make_host("mlp")
        kernel = build_kernel(host.request(*KEY, name, 0))
        assert birth_score(KEY, kernel, SOURCE, SLOPE, None) == 0.0


def test_a_kernel_takes_the_type_of_the_blocks_weights() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    kernel = kernel_of("affine")
    score = birth_score(KEY, kernel, SOURCE.double(), SLOPE.double(), like)
    assert score == pytest.approx(birth_score(KEY, kernel_of("affine"), SOURCE, SLOPE, None))


def test_a_kernel_that_fails_is_named() -> None:
    with offered("bad") as troubles:
        host = make_host("mlp")
        kernel = build_kernel(host.request(*KEY, "bad", 0))
        troubles["bad"].gives = lambda y: y[:1]
        with pytest.raises(KernelError, match="'bad' in slot 'block1' fails: ValueError: gave"):
            birth_score(KEY, kernel, SOURCE, SLOPE, None)
        troubles["bad"].forward = RuntimeError("mistake")
        with pytest.raises(KernelError, match="'bad' in slot 'block1' fails: .*mistake"):
            birth_score(KEY, kernel, SOURCE, SLOPE, None)
