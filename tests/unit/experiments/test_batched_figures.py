"""Figures of episodes in a batch."""

import pytest

from experiments.benchmarks import batched


def test_speed_is_measured_for_each_kind_of_policy() -> None:
    figures = batched.speed(num_tasks=1)
    names = [figure.name.rpartition("/")[2] for figure in figures]
    assert names == ["never", "scripted", "judged", "heuristic"]
    assert all(figure.value > 0 and figure.goal == 2.0 for figure in figures)


@pytest.mark.slow
def test_episodes_in_a_batch_agree_with_those_through_grower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batched, "FIRST_TASK", 1_000)
    never, epochs, decisions, scripted, heuristic = batched.agreement(num_tasks=3)
    assert 0 < never.value < 1e-3
    assert epochs.value == 0
    assert decisions.value == 0
    assert scripted.value < 1e-3
    assert heuristic.value < 1e-3
