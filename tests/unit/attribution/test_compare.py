import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esper.attribution.compare import Comparison
from esper.attribution.evaluation import Evaluation
from esper.contracts.stage import SeedStage

_S = SeedStage


def scored(losses: list[float], hits: list[float] | None = None) -> Evaluation:
    return Evaluation(
        torch.tensor(losses, dtype=torch.float64),
        None if hits is None else torch.tensor(hits, dtype=torch.float64),
    )


def test_a_gain_is_the_mean_of_relative_gains() -> None:
    comparison = Comparison(window=3)
    assert comparison.add(scored([2.0, 2.0]), scored([1.0, 2.0])) == 0.25
    assert comparison.add(scored([1.0, 3.0]), scored([1.0, 1.0])) == 0.5
    assert comparison.gain == 0.375
    assert comparison.add(scored([1.0, 1.0]), scored([1.0, 2.0])) == -0.5
    assert comparison.gain == pytest.approx(0.25 / 3)
    comparison.add(scored([1.0, 1.0]), scored([1.0, 1.0]))
    assert comparison.gain == 0.0, "the first of four has left the window of three"


def test_the_error_comes_from_the_paired_differences() -> None:
    comparison = Comparison(window=2)
    comparison.add(scored([1.0, 2.0, 3.0]), scored([0.0, 2.0, 3.0]))
    comparison.add(scored([3.0, 4.0, 5.0]), scored([0.0, 4.0, 5.0]))
    # Relative to the references' means, 2 and 4: 0.5, 0, 0 and 0.75, 0, 0, in the mean 0.625, 0, 0,
    # whose standard deviation is 0.625 / sqrt(3).
    assert comparison.error == pytest.approx(0.625 / 3)
    same_shift = Comparison(window=1)
    same_shift.add(scored([1.0, 2.0, 3.0]), scored([0.5, 1.5, 2.5]))
    assert (same_shift.gain, same_shift.error) == (0.25, 0.0)


def test_the_gain_in_accuracy_is_known_only_with_hits() -> None:
    comparison = Comparison(window=2)
    comparison.add(scored([1.0, 1.0]), scored([1.0, 1.0]))
    assert comparison.accuracy_gain is None
    comparison.add(scored([1.0, 1.0], [0, 0]), scored([1.0, 1.0], [1, 0]))
    comparison.add(scored([1.0, 1.0], [1, 1]), scored([1.0, 1.0], [1, 1]))
    assert comparison.accuracy_gain == 0.25


@pytest.mark.parametrize(
    ("reference", "network", "sign"),
    [([0.0, 0.0], [0.0, 0.0], 0), ([0.0, 0.0], [0.1, 0.0], -1), ([-2.0, -2.0], [-3.0, -3.0], 1)],
)
def test_a_loss_of_nothing_or_below_gives_a_gain_of_the_right_sign(
    reference: list[float], network: list[float], sign: int
) -> None:
    comparison = Comparison(window=1)
    gain = comparison.add(scored(reference), scored(network))
    assert gain == comparison.gain
    assert math.isfinite(gain)
    assert math.isfinite(comparison.error)
    assert (gain > 0) - (gain < 0) == sign


def test_evaluations_of_different_samples_are_refused() -> None:
    comparison = Comparison(window=3)
    message = "evaluate must score the same samples each time, got losses of 2 and 3 samples"
    with pytest.raises(ValueError, match=message):
        comparison.add(scored([1.0, 1.0]), scored([1.0, 1.0, 1.0]))
    comparison.add(scored([1.0, 1.0]), scored([1.0, 1.0]))
    with pytest.raises(ValueError, match=message):
        comparison.add(scored([1.0] * 3), scored([1.0] * 3))


def test_a_sample_that_broke_the_network_counts_as_lost() -> None:
    comparison = Comparison(window=2)
    # The mean reference loss is 2: one of two samples is worse by 2, that is half of 2 on average.
    assert comparison.add(scored([1.0, 3.0]), scored([math.nan, 3.0])) == -0.5
    assert comparison.add(scored([1.0, 3.0]), scored([math.inf, math.nan])) == -1.0
    assert comparison.gain == -0.75
    assert comparison.error == pytest.approx(0.25)


def test_nothing_can_be_said_where_the_reference_broke() -> None:
    comparison = Comparison(window=2)
    assert comparison.add(scored([math.nan, 1.0]), scored([1.0, 1.0])) is None
    assert (comparison.gain, comparison.error, comparison.accuracy_gain) == (None, None, None)
    comparison.add(scored([2.0, 2.0]), scored([1.0, 1.0]))
    assert comparison.add(scored([math.inf, 1.0]), scored([1.0, 1.0])) is None
    assert comparison.gain == 0.5


losses = st.lists(st.floats(0.01, 100.0), min_size=4, max_size=4)


@given(losses, losses)
def test_a_network_is_no_better_than_itself_and_scale_does_not_matter(
    one: list[float], other: list[float]
) -> None:
    comparison = Comparison(window=1)
    assert comparison.add(scored(one), scored(one)) == 0.0
    gain = comparison.add(scored(one), scored(other))
    scaled = comparison.add(scored([8 * x for x in one]), scored([8 * x for x in other]))
    assert scaled == gain
    assert (gain > 0) == (sum(other) < sum(one)) or math.isclose(sum(one), sum(other))


def test_an_error_counts_at_most_400_samples() -> None:
    # Differences alternate between 0 and 2: their mean is 1, their variance N / (N - 1).
    for num_samples in (400, 1600):
        comparison = Comparison(window=1)
        reference = [4.0] * num_samples
        comparison.add(scored(reference), scored([2.0, 4.0] * (num_samples // 2)))
        deviation = math.sqrt(num_samples / (num_samples - 1))
        assert comparison.gain == 0.25
        assert comparison.error == pytest.approx(deviation / math.sqrt(400) / 4)
