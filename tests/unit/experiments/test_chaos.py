"""The fault harness: its moments are where it says, it sees what is wrong, and it runs."""

import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from experiments.chaos import kernel_faults, kills
from experiments.chaos.child import where
from experiments.chaos.file_faults import SPOILERS
from experiments.chaos.left import differences, without_clock
from experiments.chaos.outcome import Outcome, problems, table
from experiments.chaos.regions import REGIONS, Census, Region, Trigger, watch
from experiments.chaos.setting import miscounted, recoveries

ROOT = Path(__file__).parents[3]
HARNESS = """
import sys
from experiments.chaos.__main__ import main as chaos
from experiments.chaos.kills import main as kills

kinds = ["raising backward", "busy kernel"]
sys.exit(
    kills(["--kills", "2", "--sweeps", "0", "--short", "--out", "kills.json"])
    or chaos(["--faults", "25", "--kinds", *kinds, "--out", "chaos.json"])
)
"""


def make_program() -> types.ModuleType:
    """Return a module whose `work` makes three calls, each of which appends a number."""
    program = types.ModuleType("program")
    source = (
        "done = []\n"
        "def one(number): done.append(number)\n"
        "def work(first, word=''):\n"
        "    one(first); one(first + 1); one(first + 2)\n"
    )
    exec(compile(source, "program", "exec"), program.__dict__)
    sys.modules["program"] = program
    return program


@pytest.fixture
def program() -> Any:
    yield make_program()
    del sys.modules["program"]


def regions(word: str = "") -> dict[str, Region]:
    return {"work": Region("program", "work", word)}


def test_a_census_counts_the_entries_of_a_region_and_the_calls_in_each(program: Any) -> None:
    census = Census()
    watch(census.around, regions())
    program.work(1)
    program.work(5)
    (first, second) = census.calls["work"]
    assert first == second
    assert first >= 14, "each of three functions calls `append`: called, and returned from"
    assert sys.getprofile() is None


@pytest.mark.parametrize(("calls", "done"), [(0, 0), (3, 1), (7, 2), (10_000, 3)])
def test_a_trigger_fires_once_within_the_entry_after_so_many_calls(
    program: Any, calls: int, done: int
) -> None:
    struck: list[list[int]] = []
    trigger = Trigger("work", 1, calls, lambda frame: struck.append(list(program.done)))
    watch(trigger.around, regions())
    for first in (10, 20, 30):
        program.work(first)
    assert [len(each) for each in struck] == [3 + done]
    assert program.done == [10, 11, 12, 20, 21, 22, 30, 31, 32], "and the work goes on"


@pytest.mark.parametrize("region", [*REGIONS.values(), *kernel_faults.CLOSING.values()])
def test_a_region_is_a_function_of_the_product(region: Region) -> None:
    owner: Any = importlib.import_module(region.module)
    assert callable(functools.reduce(getattr, region.path.split("."), owner))


def test_only_calls_with_the_word_are_entries(program: Any) -> None:
    census = Census()
    watch(census.around, regions("FOSSILIZED"))
    program.work(1, "CULLED")
    program.work(1, "FOSSILIZED")
    assert len(census.calls["work"]) == 1


def test_a_moment_is_named_after_the_function_of_esper_that_was_running() -> None:
    assert where(None) == ""
    assert where(sys._getframe()) == "", "nothing of Esper is running"


def test_kills_are_spread_over_all_regions_and_drawn_from_the_seed() -> None:
    calls = {region: [10, 20, 30] for region, _ in kills.ORDER}
    cases = kills.plan(calls, 50, rng_seed=0)
    assert len(cases) == 50
    assert sum(len(case.faults) for case in cases) == 50 + 50 // kills.AGAIN
    assert {case.faults[0].region for case in cases} == {region for region, _ in kills.ORDER}
    assert all(f.calls < calls[f.region][f.entry] for case in cases for f in case.faults[:1])
    assert cases == kills.plan(calls, 50, rng_seed=0)
    assert cases != kills.plan(calls, 50, rng_seed=1)


def test_misdeeds_are_as_many_as_asked_for_but_nan_stays_below_the_end_of_growth() -> None:
    for rng_seed in range(20):
        raising = kernel_faults.plan_of("raising kernel", 6, Random(rng_seed))
        assert sum(misbehaviour.times for misbehaviour in raising.values()) == 6
        poisoned = kernel_faults.plan_of("NaN kernel", 6, Random(rng_seed))
        assert len(poisoned) == kernel_faults.MOST_ROLLBACKS


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_a_spoiled_file_is_not_what_it_was(spoil: Callable[[bytes, Random], bytes]) -> None:
    content = bytes(range(1, 200))
    assert all(spoil(content, Random(rng_seed)) != content for rng_seed in range(20))


def test_a_full_disk_takes_what_is_opened_outside_and_nothing_inside(tmp_path: Path) -> None:
    script = """
import errno, os, pathlib, sys
from experiments.chaos.full_disk import fill
inside, outside = map(pathlib.Path, sys.argv[1:])
(inside / "old").write_text("kept")
fill(inside)
def full(write):
    try:
        write()
    except OSError as error:
        return error.errno == errno.ENOSPC
def low():
    descriptor = os.open(inside / "low", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(descriptor, b"x")
def append():
    with (inside / "old").open("a") as file:
        file.write("more")
assert full(low) and full(append) and full(lambda: (inside / "new").write_text("x"))
assert (inside / "old").read_text() == "kept" and (inside / "new").exists()
(outside / "fine").write_text("fine")
"""
    folders = [tmp_path / "inside", tmp_path / "outside"]
    for folder in folders:
        folder.mkdir()
    subprocess.run([sys.executable, "-c", script, *map(str, folders)], cwd=ROOT, check=True)
    assert (folders[1] / "fine").read_text() == "fine"


def make_run(folder: Path, **recoveries_reported: Any) -> Path:
    """Write the folder of a finished run, with events of the recoveries given."""
    for name in ("last", "previous", "best"):
        (folder / "checkpoints" / name).mkdir(parents=True)
        for part in ("tensors.safetensors", "state.json", "manifest.json"):
            (folder / "checkpoints" / name / part).write_text("x")
    events = [
        {"kind": "lifecycle", "to_stage": "CULLED", "time": "now"},
        {"kind": "checkpoint", "action": "saved", "save_ms": 1.0},
        {"kind": "governor", "action": "rollback"},
        {"kind": "recovery", "where": "kernel", "strategy": "fallback"},
        {"kind": "recovery", "where": "kernel", "strategy": "quarantine"},
    ]
    details = {"recovered": True, "count": 2}
    events = [{**details, **e} if e["kind"] == "recovery" else e for e in events]
    summary = {"test_loss": 0.5, "wall_s": 1.0, "rollbacks": 1, "failures_not_recovered": {}}
    summary |= {"recoveries": {"fallback": 2, "quarantine": 2}}
    files = {
        "metrics.jsonl": '{"epoch": 1, "val_loss": 0.5, "step_ms": 3.0}\n',
        "events.jsonl": "".join(json.dumps(event) + "\n" for event in events),
        "summary.json": json.dumps(summary),
        "network.safetensors": "weights",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def alter(file: str, old: str, new: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        text = (run / file).read_text()
        assert old in text
        (run / file).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (alter("metrics.jsonl", "0.5", "0.25"), ["metrics.jsonl: line 1 differs in val_loss"]),
        (alter("metrics.jsonl", "3.0", "4.0"), []),
        (alter("events.jsonl", "CULLED", "DORMANT"), ["events.jsonl: line 1 differs in to_stage"]),
        (alter("events.jsonl", "saved", "resumed"), []),
        (alter("summary.json", "0.5", "0.75"), ["summary.json: test_loss differs"]),
        (alter("network.safetensors", "w", "W"), ["network.safetensors: other bytes"]),
        (lambda run: (run / "summary.json.part").touch(), ["orphan summary.json.part"]),
        (lambda run: (run / "checkpoints" / ".next").mkdir(), ["empty folder checkpoints/.next"]),
        (
            lambda run: shutil.rmtree(run / "checkpoints" / "best"),
            ["checkpoints/best holds []"],
        ),
    ],
)
def test_what_differs_from_the_undisturbed_run_is_found_and_a_clock_is_not(
    tmp_path: Path, change: Callable[[Path], object], found: list[str]
) -> None:
    reference, run = make_run(tmp_path / "reference"), make_run(tmp_path / "run")
    change(run)
    assert differences(run, reference) == found


def test_a_torn_line_in_a_finished_run_is_an_error(tmp_path: Path) -> None:
    reference, run = make_run(tmp_path / "reference"), make_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch":')
    with pytest.raises(ValueError, match="torn"):
        differences(run, reference)


def test_recoveries_are_counted_by_place_and_what_follows_from_one_is_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert recoveries(run, ["kernel"]) == 2
    assert recoveries(run, ["kernel", "governor"]) == 3
    assert recoveries(run, ["cache"]) == 0


def test_a_summary_that_counts_other_recoveries_is_found(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert miscounted(run) == []
    alter("summary.json", '"rollbacks": 1', '"rollbacks": 2')(run)
    alter("summary.json", '"fallback": 2', '"fallback": 1')(run)
    assert [problem.split()[1] for problem in miscounted(run)] == ["recoveries", "rollbacks"]


def test_the_table_counts_faults_of_lost_and_wrong_runs_as_not_recovered() -> None:
    fine = Outcome("slow", faults=5)
    silent = Outcome("slow", faults=1, due=1, reported=0)
    lost, wrong = Outcome("kill", faults=2), Outcome("kill", faults=3)
    lost.lose("it never ended")
    wrong.expect_none(["other weights"])
    rows = table([fine, silent, lost, wrong])
    assert rows["slow"]["recovered"] == 6
    assert rows["slow"]["runs_misreported"] == 1
    assert (rows["kill"]["lost_runs"], rows["kill"]["wrong_results"]) == (1, 1)
    assert (rows["all"]["faults"], rows["all"]["recovered"]) == (11, 6)
    assert len(problems([fine, silent, lost, wrong])) == 3


def test_clock_fields_are_taken_out_of_nested_records() -> None:
    record = {"time": 1, "a": [{"x_ms": 1, "y": 2}], "wall_s": 3, "run": "here"}
    assert without_clock(record) == {"a": [{"y": 2}]}


def test_a_small_profile_finds_every_run_resumed_and_every_recovery_told(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HARNESS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed = json.loads((tmp_path / "kills.json").read_text())
    assert killed["kills"] >= killed["runs"] == killed["bit_identical"] == 2
    chaos = json.loads((tmp_path / "chaos.json").read_text())
    assert chaos["recovery_rate"] == 1
    assert chaos["kinds"]["all"]["faults"] == chaos["kinds"]["all"]["recoveries_reported"] == 4
