"""Tests of `experiments.trial_costs` by hand-made records."""

import pytest

from experiments.trial_costs import trial_shares


def _line(epoch: int, flops: float) -> dict[str, float]:
    return {"epoch": epoch, "flops": flops}


def _opened(epoch: int, seed: int, flops: float) -> list[dict[str, object]]:
    place = {"epoch": epoch, "slot": "a", "seed": seed}
    return [
        {**place, "kind": "kernel", "flops": flops},
        {**place, "kind": "lifecycle", "to_stage": "GERMINATED"},
    ]


def _moved(epoch: int, seed: int, stage: str) -> dict[str, object]:
    return {"epoch": epoch, "slot": "a", "seed": seed, "kind": "lifecycle", "to_stage": stage}


def test_a_trial_costs_what_its_kernel_adds_until_its_verdict() -> None:
    lines = [_line(1, 100), _line(2, 120), _line(3, 130), _line(4, 130)]
    events = [*_opened(1, 0, 10.0), _moved(2, 0, "BLENDING"), _moved(3, 0, "FOSSILIZED")]
    # 20 and 30 beyond the host's 100; the kept kernel's fourth epoch is none of the trial.
    assert trial_shares(lines, events) == [50 / 480]


def test_kernels_share_by_their_flops_and_kept_ones_count_twice() -> None:
    lines = [_line(1, 100), _line(2, 160), _line(3, 180), _line(4, 100)]
    events = [*_opened(1, 0, 10.0), *_opened(1, 1, 20.0)]
    events += [_moved(2, 0, "FOSSILIZED"), _moved(3, 1, "CULLED")]
    # Epoch 2: 60 in 1 to 2.  Epoch 3: 80 in 2 * 10 to 20.
    assert trial_shares(lines, events) == pytest.approx([20 / 540, (40 + 40) / 540])


def test_a_second_trial_of_a_seed_is_another_one() -> None:
    lines = [_line(1, 100), _line(2, 110), _line(3, 100), _line(4, 140)]
    events = [*_opened(1, 0, 5.0), _moved(2, 0, "CULLED"), *_opened(3, 0, 8.0)]
    assert trial_shares(lines, events) == pytest.approx([10 / 450, 40 / 450])


def test_a_run_without_trials_has_no_shares() -> None:
    assert trial_shares([_line(1, 100)], [{"epoch": 1, "kind": "decision"}]) == []
