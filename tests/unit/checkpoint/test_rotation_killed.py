"""Death at every call that changes the disk, and in the middle of each write."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from esper.checkpoint.format import MANIFEST, read
from esper.checkpoint.rotation import CheckpointRotation
from tests.unit.checkpoint.trees import bits, keeper_of, kept, tree_of

CALLS = (
    "mkdir",
    "rename",
    "replace",
    "link",
    "unlink",
    "remove",
    "rmdir",
    "open",
    "write",
    "fsync",
)
MOST_CALLS = 80


class Death(BaseException):
    """What no code can catch by mistake."""


@contextmanager
def death_at(number: int) -> Iterator[None]:
    """Let the calls before this one (from 0) happen; it and all that follow do not."""
    num_calls = 0

    def mortal(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **options: Any) -> Any:
            nonlocal num_calls
            num_calls += 1
            if num_calls == number + 1 and name == "write":
                call(args[0], args[1][: len(args[1]) // 2])
            if num_calls > number:
                raise Death
            return None if name == "fsync" else call(*args, **options)

        return instead

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, mortal(name, getattr(os, name)))
        yield


def dies(number: int, act: Callable[[], object]) -> bool:
    try:
        with death_at(number):
            act()
    except Death:
        return True
    return False


def copied(folder: Path, name: str) -> CheckpointRotation:
    """Return a keeper whose folder is in the same state."""
    return CheckpointRotation(shutil.copytree(folder, folder.with_name(name)))


def found_epoch(keeper: CheckpointRotation) -> int:
    """Return the epoch that a run would go on from; nothing newer may lie complete anywhere."""
    found = keeper.latest()
    assert found is not None
    assert found.refused == ()
    epoch = found.saved.facts["epoch"]
    assert isinstance(epoch, int)
    assert bits(found.saved.tree) == bits(tree_of(epoch))
    complete = [folder for folder in keeper.folder.iterdir() if (folder / MANIFEST).exists()]
    assert epoch == max(read(folder).facts["epoch"] for folder in complete)
    return epoch


def check_it_goes_on(keeper: CheckpointRotation, num_saved: int, best: tuple[int, ...]) -> None:
    """Check that nothing was lost, that tidying puts all in place, and that saving goes on."""
    epoch = found_epoch(keeper)
    assert epoch in (num_saved, num_saved + 1)
    keeper.tidy()
    so_far = [number for number in range(1, epoch + 1) if number in best]
    expected = {"last": epoch, "previous": epoch - 1, "best": max(so_far, default=0)}
    expected = {name: number for name, number in expected.items() if number}
    assert kept(keeper) == expected
    keeper.save(tree_of(epoch + 1), {"epoch": epoch + 1}, is_best=False)
    expected = {**expected, "last": epoch + 1, "previous": epoch}
    assert kept(keeper) == expected


@pytest.mark.parametrize(
    ("num_saved", "best"),
    [(1, ()), (1, (2,)), (2, (1,)), (2, (2, 3)), (3, (1, 2, 4))],
    ids=str,
)
def test_death_at_any_call_of_a_save_loses_nothing(
    num_saved: int, best: tuple[int, ...], tmp_path: Path
) -> None:
    seen, epoch = set(), num_saved + 1
    before = keeper_of(tmp_path, *range(1, epoch), best=best).folder
    for number in range(MOST_CALLS):
        keeper = copied(before, str(number))
        died = dies(
            number,
            lambda: keeper.save(tree_of(epoch), {"epoch": epoch}, is_best=epoch in best),  # noqa: B023
        )
        seen.add(found_epoch(keeper))
        check_it_goes_on(keeper, num_saved, best)
        if not died:
            break
    else:
        pytest.fail(f"a save takes more than {MOST_CALLS} calls")
    assert seen == {num_saved, num_saved + 1}


def test_death_at_any_call_of_the_first_save_leaves_nothing_or_all_of_it(tmp_path: Path) -> None:
    for number in range(MOST_CALLS):
        keeper = CheckpointRotation(tmp_path / str(number) / "checkpoints")
        died = dies(number, lambda: keeper.save(tree_of(1), {"epoch": 1}, is_best=True))  # noqa: B023
        found = keeper.latest()
        assert found is None or found.saved.facts["epoch"] == 1
        keeper.save(tree_of(2), {"epoch": 2}, is_best=False)
        expected = {"last": 2} if found is None else {"last": 2, "previous": 1, "best": 1}
        assert kept(keeper) == expected
        if not died:
            return
    pytest.fail(f"a save takes more than {MOST_CALLS} calls")


def test_death_while_a_death_is_tidied_up_loses_nothing_either(tmp_path: Path) -> None:
    number, died, best = 0, True, (1, 2, 4)
    before = keeper_of(tmp_path, 1, 2, 3, best=best).folder
    while died:
        assert number < MOST_CALLS
        died_again, again = True, 0
        while died_again:
            assert again < MOST_CALLS
            keeper = copied(before, f"{number}-{again}")
            died = dies(number, lambda: keeper.save(tree_of(4), {"epoch": 4}, is_best=True))  # noqa: B023
            died_again = dies(again, keeper.tidy)
            check_it_goes_on(keeper, 3, best)
            again += 1
        number += 4  # every call of a save is held above; those of tidying are the point here


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from esper.checkpoint.rotation import CheckpointRotation

def tree_of(epoch):
    return {"epoch": epoch, "list": [0.5] * 2000}

rng, keeper, told = random.Random(0), CheckpointRotation(Path(sys.argv[1])), 0
for death in range(int(sys.argv[2])):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found = keeper.latest()
        keeper.tidy()
        epoch = found.saved.tree["epoch"] if found else 0
        while True:
            epoch += 1
            keeper.save(tree_of(epoch), {"epoch": epoch}, is_best=epoch % 3 == 0)
            os.write(writing, b"%d\\n" % epoch)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = int(pipe.readline())
        time.sleep(rng.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = max([told, *map(int, pipe.read().split())])
    found = keeper.latest()
    assert found.saved.tree["epoch"] in (told, told + 1), (found.folder, found.saved.facts, told)
    assert found.refused == (), found.refused
    told = found.saved.tree["epoch"]
keeper.tidy()
assert {path.name for path in keeper.folder.iterdir()} == {"last", "previous", "best"}
best = keeper.folder / "best"
from esper.checkpoint.format import read
assert read(best).facts["epoch"] == told - told % 3, (read(best).facts, told)
"""


def test_a_process_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "checkpoints"), "20"],
        check=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
