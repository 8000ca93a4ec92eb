import random

import numpy
import pytest
import torch

from esper.probe.rng_state import Chance, replayed


def draw() -> tuple[float, float, float]:
    return random.random(), float(numpy.random.rand()), float(torch.rand(()))


def test_a_block_draws_what_was_drawn_then_and_leaves_no_trace() -> None:
    then = Chance.now()
    drawn, after = draw(), Chance.now()
    upcoming = draw()
    after.restore()

    with replayed(then):
        assert draw() == drawn
        draw()

    assert draw() == upcoming


def test_the_generators_are_put_back_after_an_error() -> None:
    now = Chance.now()
    upcoming = draw()
    now.restore()

    def fail() -> None:
        with replayed(Chance.now()):
            draw()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert draw() == upcoming
