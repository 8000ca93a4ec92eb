import random

import numpy
import pytest
import torch

from esper.probe.rng_state import RngState, restored, seed_torch


def draw() -> tuple[float, float, float]:
    return random.random(), float(numpy.random.rand()), float(torch.rand(()))


def test_a_block_draws_what_was_drawn_then_and_leaves_no_trace() -> None:
    then = RngState.now()
    drawn, after = draw(), RngState.now()
    upcoming = draw()
    after.restore()

    with restored(then):
        assert draw() == drawn
        draw()

    assert draw() == upcoming


def test_the_generators_are_put_back_after_an_error() -> None:
    now = RngState.now()
    upcoming = draw()
    now.restore()

    def fail() -> None:
        with restored(RngState.now()):
            draw()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert draw() == upcoming


def test_torch_draws_the_same_from_a_seed_in_either_way() -> None:
    with restored(RngState.now()):
        torch.manual_seed(2**62 + 5)
        expected = torch.rand(4)
        seed_torch(2**62 + 5)
        assert torch.equal(torch.rand(4), expected)
