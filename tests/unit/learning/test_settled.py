"""Learning on from settled trials: what improves, and what is taken back."""

from dataclasses import asdict, replace

import pytest
import torch

from esper.contracts.errors import DataError
from esper.learning.options import Learning
from esper.learning.reading import Reading
from esper.learning.settled import LEAST_TRIALS, Settled, learn_settled
from tests.unit.learning.situations import Scores, make_situation

SCALE = 0.01


def trials(gain: float, noise: float = 0.0, runs: int = 8, each: int = 6) -> list[Settled]:
    """Return trials whose gain over what was asked is `gain` times the value, and noise."""
    generator = torch.Generator().manual_seed(3)
    made = []
    for number in range(runs * each):
        value, other = torch.rand(2, generator=generator).tolist()
        reading = Reading("abc", make_situation(value), asked=0.25)
        measured = 0.25 + gain * value + noise * (other - 0.5)
        made.append(Settled(f"run {number % runs}", reading, measured))
    return made


def test_what_was_measured_is_predicted_better() -> None:
    """The network says 0.01 * 10 * value, half of what the trials brought."""
    net = Scores(factor=10.0)
    report = learn_settled(net, trials(gain=0.2), Learning(rate=0.5), SCALE, seed=0)
    assert (report.trials, report.left_out) == (36, 12)
    assert report.error_before == pytest.approx(0.1 * 3**-0.5, rel=0.15)
    assert report.error_after < report.error_before / 2
    assert report.passes > 1
    lead = 0.5 * net.factor.item() - net.wait.item()
    assert SCALE * lead == pytest.approx(0.1, abs=0.02)


def test_a_pass_that_helps_nothing_is_taken_back() -> None:
    net = Scores(factor=20.0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    report = learn_settled(net, trials(gain=0.2), Learning(rate=5.0), SCALE, seed=0)
    assert report.passes == 0
    assert report.error_after == report.error_before
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_of_a_single_run_every_fourth_trial_is_left_out() -> None:
    report = learn_settled(Scores(), trials(0.2, runs=1, each=12), Learning(), SCALE, seed=0)
    assert (report.trials, report.left_out) == (9, 3)


def test_neither_part_is_left_with_a_few_trials_of_a_small_run() -> None:
    """Two runs, one of which has a single trial: every fourth trial is left out."""
    for alone in (0, 1):
        made = trials(0.2, runs=2, each=8)
        uneven = [
            replace(each, run=f"run {int((at == 3) is (alone == 1))}")
            for at, each in enumerate(made)
        ]
        report = learn_settled(Scores(), uneven, Learning(), SCALE, seed=0)
        assert (report.trials, report.left_out) == (12, 4)


def test_the_same_seed_learns_the_same() -> None:
    nets = [Scores(factor=10.0) for _ in range(2)]
    reports = [learn_settled(n, trials(0.2, noise=0.3), Learning(), SCALE, seed=1) for n in nets]
    assert asdict(reports[0]) == asdict(reports[1])
    assert torch.equal(nets[0].factor, nets[1].factor)


def test_too_few_are_refused() -> None:
    few = trials(0.2)[: LEAST_TRIALS - 1]
    with pytest.raises(DataError, match=r"at least 10 settled trials .* this has 9"):
        learn_settled(Scores(), few, Learning(), SCALE, seed=0)
