"""The soak: what it calls flat, that it sees a leak, and that it runs."""

import json
import time
from functools import partial
from pathlib import Path
from random import Random

import pytest

from experiments.soak.__main__ import main
from experiments.soak.flat import drift, spread
from experiments.soak.fresh import Span, in_fresh_process
from experiments.soak.judge import judge
from experiments.soak.resources import Sample, measured


def noisy(rise: float, length: int = 100, noise: float = 0.2) -> list[float]:
    """Return a series around 100 that rises by so much from its first value to its last."""
    rng = Random(1)
    return [100 + rise * i / (length - 1) + rng.gauss(0, noise) for i in range(length)]


def make_sample(**values: float | None) -> Sample:
    defaults = {"memory_mb": 300.0, "objects": 1000, "files": 6, "threads": 1}
    times = dict.fromkeys(("wall_ms", "cpu_ms", "wall_ratio", "cpu_ratio"), 2.0)
    return Sample(**{**defaults, **times, **values})


def test_noise_is_flat_and_a_rise_above_what_is_allowed_is_not() -> None:
    assert drift(noisy(0.0), allowed=0.01).is_flat
    risen = drift(noisy(3.0), allowed=0.01)
    assert not risen.is_flat
    assert risen.growth == pytest.approx(0.03 * 0.8, rel=0.2)  # of the last four fifths


def test_a_sure_but_tiny_rise_is_flat() -> None:
    tiny = drift(noisy(0.5, noise=0.001), allowed=0.01)
    assert tiny.low > 0
    assert tiny.is_flat


def test_what_grows_while_it_warms_up_does_not_count() -> None:
    assert drift([50.0, 80.0, *[100.0] * 18], allowed=0.01).growth == 0
    assert spread([1, 2, *[3] * 18]) == 0
    assert spread([*[3] * 19, 4]) == 1


def test_one_measurement_is_judged_without_an_error() -> None:
    assert judge([make_sample()])["ok"]


@pytest.mark.parametrize("series", ["memory_mb", "objects", "cpu_ratio", "wall_ratio"])
def test_a_series_that_grows_by_a_tenth_fails_the_soak(series: str) -> None:
    usual = getattr(make_sample(), series)
    samples = [make_sample(**{series: usual * (1 + i / 1000)}) for i in range(100)]
    verdict = judge(samples)
    assert not verdict["ok"]
    assert [name for name, found in verdict["drift"].items() if not found["flat"]] == [series]


@pytest.mark.parametrize("series", ["files", "threads"])
def test_one_file_or_thread_more_fails_the_soak(series: str) -> None:
    samples = [make_sample(**{series: 6 + (i > 50)}) for i in range(100)]
    assert not judge(samples)["ok"]


def test_a_machine_that_slows_down_is_no_process_that_does() -> None:
    _, sample = measured(lambda: None, 4, lambda: Span(20.0, 10.0))
    assert sample.wall_ratio == pytest.approx(4 * sample.wall_ms / 20)
    assert sample.cpu_ratio == pytest.approx(4 * sample.cpu_ms / 10)
    assert measured(lambda: None, 4)[1].cpu_ratio is None
    compared = [make_sample(cpu_ratio=None if i % 5 else 1 + i / 1000) for i in range(100)]
    assert not judge(compared)["drift"]["cpu_ratio"]["flat"]


def test_what_a_fresh_process_takes_is_the_works_own_time() -> None:
    assert in_fresh_process(partial(time.sleep, 0.2)).wall_ms == pytest.approx(200, abs=50)
    with pytest.raises(RuntimeError, match="failed in a fresh process"):
        in_fresh_process(partial(int, "x"))


def test_a_measurement_sees_what_its_work_left_behind(tmp_path: Path) -> None:
    kept: list[object] = []
    _, before = measured(lambda: None, 1)
    result, after = measured(lambda: kept.extend([[i] for i in range(5000)]), 1)
    assert result is None
    assert after.objects - before.objects == pytest.approx(5000, abs=200)
    with (tmp_path / "open").open("w"):
        assert measured(lambda: None, 1)[1].files == before.files + 1
    assert measured(lambda: None, 1)[1].files == before.files


def test_a_small_soak_grows_networks_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "soak.json"
    main(["--runs", "2", "--steps", "300", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["command"] == "python -m experiments.soak --runs 2 --steps 300"
    assert found["runs"]["runs_without_germination"] == found["runs"]["runs_without_cull"] == 0
    assert found["many"]["steps"] == 300
    assert found["many"]["moves"]["GERMINATED"] > 10
    assert found["many"]["moves"]["CULLED"] > 10
    assert "memory_mb" in capsys.readouterr().out
