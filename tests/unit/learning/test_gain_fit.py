"""Fits of a gain model on gains whose cause is known."""

from pathlib import Path

import numpy as np
import pytest

from esper.learning.gain_fit import GAINS, GainData, GainFit, fit_gain_model

NAMES = ("cause", "other", "noise")


def known_gains(num_tasks: int = 60, rows: int = 4, noise: float = 0.02) -> GainData:
    """Return gains of 0.1 + 0.2 cause - 0.1 other, with noise that the rows of a task share."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(num_tasks * rows, 3))
    tasks = np.repeat(np.arange(num_tasks), rows) * 7 + 1000
    gains = 0.1 + 0.2 * features[:, 0] - 0.1 * features[:, 1]
    gains = gains + np.repeat(rng.normal(0, noise, num_tasks), rows)
    return GainData(names=NAMES, features=features, gains=gains, tasks=tasks)


def predicted(data: GainData, row: dict[str, float], penalty: float = 1.0) -> float:
    model = fit_gain_model(data, GainFit(penalty=penalty), 0)
    return float(model.predict([row])[0][0])


def test_a_linear_relation_is_found() -> None:
    data = known_gains()
    zero = dict.fromkeys(NAMES, 0.0)
    base = predicted(data, zero)
    assert base == pytest.approx(0.1, abs=0.01)
    assert predicted(data, zero | {"cause": 1.0}) - base == pytest.approx(0.2, abs=0.02)
    assert predicted(data, zero | {"other": 1.0}) - base == pytest.approx(-0.1, abs=0.02)
    assert predicted(data, zero | {"noise": 1.0}) - base == pytest.approx(0.0, abs=0.02)


def test_a_larger_penalty_draws_gains_to_their_mean() -> None:
    data, row = known_gains(), {"cause": 1.0, "other": 0.0, "noise": 0.0}
    free, mild, strong = (predicted(data, row, penalty) for penalty in (0.1, 100.0, 1e6))
    assert free > mild > strong
    assert strong == pytest.approx(float(data.gains.mean()), abs=0.02)


def test_the_error_is_that_on_tasks_that_members_left_out() -> None:
    for noise in (0.02, 0.2):
        model = fit_gain_model(known_gains(noise=noise), GainFit(penalty=1.0), 0)
        # The noise of a task cannot be predicted from other tasks.
        assert model.error == pytest.approx(noise, rel=0.35)
        assert (np.diff(model.doubts) >= 0).all()
        assert len(model.doubts) > 50


def test_what_a_fit_learns_by_heart_does_not_lower_its_error() -> None:
    rng = np.random.default_rng(4)
    names = tuple(f"f{number}" for number in range(30))
    features, gains = rng.normal(size=(40, 30)), 0.25 + rng.normal(0, 0.1, 40)
    data = GainData(names=names, features=features, gains=gains, tasks=np.arange(40))
    model = fit_gain_model(data, GainFit(penalty=1e-3), 0)
    found = model.predict([dict(zip(names, row, strict=True)) for row in features])[0]
    # Nothing here can be known of a task that was left out.
    assert np.std(gains - found) < 0.09
    assert model.error > 0.1


def test_members_are_fitted_on_resampled_tasks_not_on_resampled_rows() -> None:
    # Rows of one task are equal, so that resampling rows would leave no doubt about their mean.
    features = np.repeat(np.random.default_rng(1).normal(size=(6, 3)), 50, axis=0)
    gains = np.repeat([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], 50)
    tasks = np.repeat(np.arange(6), 50)
    data = GainData(names=NAMES, features=features, gains=gains, tasks=tasks)
    model = fit_gain_model(data, GainFit(members=60, penalty=1e9), 0)
    # The penalty leaves the bias: a mean of 6 tasks, with a standard error of 0.171 / sqrt(6).
    assert model.biases.std() == pytest.approx(0.0697, rel=0.25)


def test_unmeasured_features_are_filled_with_the_average_of_the_others() -> None:
    data = known_gains()
    features = data.features.copy()
    features[::3, 2] = np.nan
    features[:, 1] = np.nan
    model = fit_gain_model(
        GainData(names=NAMES, features=features, gains=data.gains, tasks=data.tasks), GainFit(), 0
    )
    assert np.isfinite(model.weights).all()
    assert model.centre[2] == pytest.approx(np.nanmean(features[:, 2]))
    assert (model.centre[1], abs(model.weights[:, 1]).max()) == (0.0, 0.0), "measured nowhere"


def test_extreme_gains_are_clipped() -> None:
    data = known_gains(noise=0.0)
    wild = data.gains.copy()
    wild[0] = 1e9
    clipped = data.gains.copy()
    clipped[0] = GAINS[1]
    one, other = (
        fit_gain_model(GainData(NAMES, data.features, gains, data.tasks), GainFit(), 0)
        for gains in (wild, clipped)
    )
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.biases, other.biases)


def test_the_same_data_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for name, rng_seed in (("one", 0), ("same", 0), ("other", 1)):
        fit_gain_model(known_gains(), GainFit(), rng_seed).save(tmp_path / name, {"rows": 240})
    for ending in (".safetensors", ".json"):
        one, same, other = (
            (tmp_path / name).with_suffix(ending).read_bytes() for name in ("one", "same", "other")
        )
        assert one == same
        assert one != other


def test_doubts_are_of_gains_that_would_be_acted_on() -> None:
    data = known_gains()
    losses = GainData(NAMES, data.features, np.full_like(data.gains, -0.3), data.tasks)
    assert len(fit_gain_model(losses, GainFit(), 0).doubts) == 0
