import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from esper.attribution.compare import Comparison, Trial, measure
from esper.attribution.evaluation import Evaluation, evaluate_model
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from tests.unit.growth.builders import blended, evaluate, grow, make_host

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
    # Mean differences 2, 0, 0: variance (16 + 4 + 4) / 9 / 2 = 4 / 3, error sqrt(4 / 3 / 3) = 2 / 3
    # relative to the mean reference, (2 + 4) / 2.
    assert comparison.error == pytest.approx(2 / 3 / 3)
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


def opened(host: Host, seeds: list[int], twin: Host | None) -> Trial:
    comparison = Comparison(window=3)
    return Trial(0, 0, {("block1", seed): 1 for seed in seeds}, twin, comparison)


def with_losses(table: dict[frozenset[str], float]) -> object:
    """Return an `evaluate` whose loss depends only on the active seeds of block1."""

    def score(model: nn.Module) -> Tensor:
        bank = model[1]._modules.get("esper_kernels")  # type: ignore[index]
        felt = frozenset() if bank is None else frozenset(bank.kernels) - bank.muted  # type: ignore[union-attr, operator]
        return torch.full((4,), table[felt], dtype=torch.float64)

    return score


def shadowed(seeds: dict[int, float]) -> tuple[Host, Host]:
    """Return a host with blended seeds in SHADOWING, and its twin without them."""
    host = make_host("mlp")
    twin = host.copy()
    for seed in seeds:
        blended(host, "block1", seed)
        host.advance("block1", seed, _S.SHADOWING, None, "")
    return host, twin


def test_seeds_share_an_events_gain_by_their_positive_ablations() -> None:
    host, twin = shadowed({0: 1.0, 1: 1.0, 2: 1.0})
    score = with_losses(
        {
            frozenset(): 2.0,
            frozenset("012"): 1.0,
            frozenset("12"): 1.25,  # ablation of 0: 0.2
            frozenset("02"): 2.5,  # of 1: 0.6
            frozenset("01"): 0.8,  # of 2: -0.25
        }
    )
    network = evaluate_model(score, host.model)  # type: ignore[arg-type]

    told = measure(opened(host, [0, 1, 2], twin), host, score, network)  # type: ignore[arg-type]

    assert [t.ablation for t in told] == pytest.approx([0.2, 0.6, -0.25])
    assert [t.gain for t in told] == pytest.approx([0.5 * 0.25, 0.5 * 0.75, 0.0])
    assert [t.gain_error for t in told] == pytest.approx([0.0, 0.0, 0.0])
    assert {t.method for t in told} == {"twin"}
    assert [seed.activation.measurements for seed in list(host.seeds())[:3]] == [1, 1, 1]
    assert [p.gain for p in host.seed("block1", 1).activation.gains] == pytest.approx([0.375])


def test_seeds_share_equally_where_no_ablation_is_positive() -> None:
    host, twin = shadowed({0: 1.0, 1: 1.0})
    table = {frozenset(): 2.0, frozenset("01"): 1.0, frozenset("0"): 0.9, frozenset("1"): 0.5}
    score = with_losses(table)
    network = evaluate_model(score, host.model)  # type: ignore[arg-type]
    told = measure(opened(host, [0, 1], twin), host, score, network)  # type: ignore[arg-type]
    assert [t.gain for t in told] == pytest.approx([0.25, 0.25])


def test_without_a_twin_a_seed_is_compared_with_itself_muted_and_that_is_said() -> None:
    host, _ = shadowed({0: 1.0, 1: 1.0})
    table = {frozenset("01"): 1.0, frozenset("1"): 1.25, frozenset("0"): 0.5}
    score = with_losses(table)
    network = evaluate_model(score, host.model)  # type: ignore[arg-type]
    told = measure(opened(host, [0, 1], None), host, score, network)  # type: ignore[arg-type]
    assert [(t.method, t.gain, t.ablation) for t in told] == [
        ("ablation", pytest.approx(0.2), pytest.approx(0.2)),
        ("ablation", -1.0, -1.0),
    ]


def test_only_blended_seeds_are_muted_but_all_open_ones_get_the_twins_gain() -> None:
    host = make_host("mlp")
    twin = host.copy()
    grow(host, "block1", 0)
    change = opened(host, [0], twin)
    network = evaluate_model(evaluate, host.model)
    assert measure(change, host, evaluate, network) == []
    life = host.seed("block1", 0).activation
    assert (life.gain, life.ablation, life.measurements) == (0.0, None, 0)
    host.cull("block1", 0, 1, "")
    assert change.open_seeds(host) == []
    assert measure(change, host, evaluate, network) == []


def test_a_seed_that_blends_anew_gets_no_stale_ablation_as_its_gain() -> None:
    host, _ = shadowed({0: 1.0})
    score = with_losses({frozenset("0"): 1.0, frozenset(): 1.25})
    change = opened(host, [0], None)
    network = evaluate_model(score, host.model)  # type: ignore[arg-type]
    measure(change, host, score, network)  # type: ignore[arg-type]
    host.blend("block1", 0, 0.5, None, "")
    measure(change, host, score, network)  # type: ignore[arg-type]
    assert len(host.seed("block1", 0).activation.gains) == 1


def test_a_contribution_that_cannot_be_measured_is_not_counted_as_measured() -> None:
    host, twin = shadowed({0: 1.0})
    score = with_losses({frozenset("0"): 1.0, frozenset(): math.nan})
    network = evaluate_model(score, host.model)  # type: ignore[arg-type]
    (told,) = measure(opened(host, [0], twin), host, score, network)  # type: ignore[arg-type]
    life = host.seed("block1", 0).activation
    assert (told.gain, told.gain_error, told.ablation) == (None, None, None)
    assert (life.measurements, life.gains) == (0, [])


def test_a_seed_of_a_later_activation_is_not_of_the_event() -> None:
    host, _ = shadowed({0: 1.0})
    change = opened(host, [0], None)
    assert [seed.index for seed in change.open_seeds(host)] == [0]
    host.seed("block1", 0).activation.event = 1
    assert change.open_seeds(host) == []
