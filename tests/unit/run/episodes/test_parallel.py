"""Independent work in several processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from esper.contracts.errors import EsperError
from esper.policy.random import Random
from esper.run.episodes.episode import EpisodeResult, run_episode
from esper.run.episodes.parallel import Workers, run_each
from tests.unit.run.episodes.small_tasks import small_task


def wait_and_divide(number: int, divisor: int) -> tuple[float, int, int]:
    """Return a quotient, the process, and its threads; the first argument ends last."""
    time.sleep(0.3 if number == 0 else 0.0)
    return number / divisor, os.getpid(), torch.get_num_threads()


def end_process() -> None:
    os._exit(3)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_the_order_of_the_arguments(processes: int) -> None:
    results = list(run_each(wait_and_divide, [(n, 2) for n in range(5)], processes))
    assert [quotient for quotient, _, _ in results] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert {threads for _, _, threads in results} == {1}
    is_here = [pid == os.getpid() for _, pid, _ in results]
    assert is_here == [processes == 1] * 5


def test_the_threads_of_this_process_stay_as_they_were() -> None:
    torch.set_num_threads(2)
    try:
        [(_, _, threads)] = run_each(wait_and_divide, [(1, 2)])
        assert (threads, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_names_the_arguments_of_the_work_that_failed(processes: int) -> None:
    results = run_each(wait_and_divide, [(1, 2), (3, 0), (1, 1)], processes)
    assert next(results)[0] == 0.5
    with pytest.raises(ZeroDivisionError) as caught:
        next(results)
    assert caught.value.__notes__ == ["in wait_and_divide(3, 0)"]


def tensors(number: int) -> list[torch.Tensor]:
    return [torch.full((2,), float(number))] * 4


def test_results_that_are_kept_hold_no_files_open() -> None:
    def num_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Workers(2) as workers:
        kept = list(workers.each(tensors, [(0,)] * 2))
        before = num_files()
        kept += workers.each(tensors, [(each,) for each in range(40)])
        assert num_files() <= before + 2
    assert kept[-1][0].tolist() == [39.0, 39.0]


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(EsperError, match=r"^one of the processes was killed while it worked"):
        list(run_each(end_process, [()], processes=2))


def test_there_is_a_process() -> None:
    with pytest.raises(ValueError, match=r"^processes must be >= 1, got 0$"):
        run_each(wait_and_divide, [], processes=0)


def test_episodes_are_equal_in_one_process_and_in_two() -> None:
    work = [(small_task(index), 100, Random()) for index in (0, 1)]

    def results(processes: int) -> list[EpisodeResult]:
        return [replace(each, processor_s=0.0) for each in run_each(run_episode, work, processes)]

    alone, together = results(1), results(2)
    assert alone == together
    assert sum(each.events for each in alone) > 0


SLEEPERS = """
import os
import time
from esper.run.episodes.parallel import run_each

def sleep(seconds):
    os.write(1, b"asleep" + os.linesep.encode())  # at once: two processes do not mix their lines
    time.sleep(seconds)

if __name__ == "__main__":
    list(run_each(sleep, [(60,)] * 4, processes=2))
"""


def interrupt(pid: int) -> None:
    """Send a signal to all processes, as a terminal does."""
    os.killpg(pid, signal.SIGINT)


def kill(pid: int) -> None:
    """Kill the first process alone."""
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [interrupt, kill])
def test_all_processes_end_with_the_first(tmp_path: Path, end: Callable[[int], None]) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS, encoding="utf-8")
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["asleep\n"] * 2
        end(process.pid)
        # Both pipes are closed only once every process has ended.
        _, errors = process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGINT, 1, -signal.SIGKILL)
    assert errors.count("Traceback") <= 1
