"""Private draws equal those of a seeded global generator, and advance no global generator."""

import random
from collections.abc import Callable

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _python_dispatch as dispatch

from esper.blueprint import catalogue
from esper.contracts.slot import Placement, SlotKind
from esper.kernels.private_rng import NoGeneratorError, PrivateRng, seeded_globally
from tests.unit.kernels.builders import SHAPES, SITES

Draw = Callable[[], Tensor]
DRAWS: dict[str, Draw] = {
    "uniform_": lambda: torch.empty(5).uniform_(-1, 2),
    "normal_": lambda: torch.empty(40).normal_(1, 2),
    "rand": lambda: torch.rand(3, 2),
    "randn": lambda: torch.randn(17),
    "rand_like": lambda: torch.rand_like(torch.empty(3)),
    "randint": lambda: torch.randint(0, 100, (9,)),
    "randint_low": lambda: torch.randint(5, 100, (9,)),
    "randperm": lambda: torch.randperm(11),
    "normal": lambda: torch.normal(0.0, 1.0, (6,)),
    "bernoulli": lambda: torch.bernoulli(torch.full((20,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(8), 4),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(4, 4)),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
    "dropout": lambda: nn.functional.dropout(torch.ones(30), 0.4),
    "with a generator": lambda: torch.rand(3, generator=torch.Generator().manual_seed(1)),
    "two in a row": lambda: torch.cat([torch.rand(3), torch.randn(4), torch.rand(2)]),
}


def drawn_globally(draw: Draw, seed: int) -> Tensor:
    """Return the result of a draw right after `torch.manual_seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return draw()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_private_draw_is_the_one_that_a_seeded_global_generator_gives(draw: Draw) -> None:
    state = torch.get_rng_state()
    with PrivateRng(7):
        private = draw()
    assert torch.equal(private, drawn_globally(draw, 7))
    assert torch.equal(torch.get_rng_state(), state), "the global generator has moved"


@pytest.mark.parametrize(("name", "kind", "placement"), SITES)
def test_a_built_in_kernel_has_the_weights_that_a_seeded_global_generator_gives(
    name: str, kind: SlotKind, placement: Placement
) -> None:
    shape, state = SHAPES[kind], torch.get_rng_state()

    def draw() -> Tensor:
        kernel = catalogue.get(name).build(kind, shape, shape)
        weights = [tensor.detach().flatten() for tensor in kernel.state_dict().values()]
        return torch.cat([torch.zeros(1), *weights])

    with PrivateRng(11):
        private = draw()
    assert torch.equal(private, drawn_globally(draw, 11))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_gradient_flows_through_a_private_dropout() -> None:
    x = torch.ones(50, requires_grad=True)
    with PrivateRng(3):
        out = nn.functional.dropout(x, 0.5)
        (gradient,) = torch.autograd.grad(out.sum(), x)
    # Each element is kept and doubled, or dropped.
    assert torch.equal(gradient, out.detach())
    assert set(gradient.tolist()) == {0.0, 2.0}


def test_what_can_only_draw_globally_is_refused_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    with PrivateRng(0), pytest.raises(NoGeneratorError, match="takes no generator"):
        torch.native_dropout(torch.ones(4), 0.5, True)
    assert torch.equal(torch.get_rng_state(), state)


def test_torch_is_told_nothing_that_other_threads_would_hear() -> None:
    with PrivateRng(0):
        assert not dispatch.is_in_torch_dispatch_mode(include_infra_modes=True)
        assert not dispatch.is_in_any_mode_without_ignore_compile_internals()
        assert len(dispatch._get_current_dispatch_mode_stack()) == 1
    assert len(dispatch._get_current_dispatch_mode_stack()) == 0


def test_seeding_globally_is_a_function_of_the_seed_and_leaves_no_trace() -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(numpy.random.rand()), float(torch.rand(()))

    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    expected = draws()
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    with seeded_globally(2**62 + 5):
        first = draws()
    with seeded_globally(2**62 + 5):
        second = draws()
    with seeded_globally(6):
        third = draws()
    assert first == second
    assert not set(first) & set(third)
    assert draws() == expected
