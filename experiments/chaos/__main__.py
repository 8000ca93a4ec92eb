"""Inject faults into real runs at seeded random moments, and check the results.

    python -m experiments.chaos [--faults 100] [--rng-seed 0]

injects about `--faults` faults, and at least one of each kind.

The exit code is 1 unless all of this holds after each: the run finished, or was resumed to its end;
its metrics, events and network are those of the undisturbed run where they must be; there is no
stale optimizer entry and no orphaned file; the run reports one recovery for each fault that needs
one.  With 1,000 faults the results go to `experiments/results/chaos.json`, with fewer only to
`--out`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import torch

from experiments.chaos.file_faults import spoil_checkpoint
from experiments.chaos.kernel_faults import UNSTEADY, misbehave
from experiments.chaos.outcome import Outcome, problems, table
from experiments.chaos.process_faults import interrupt
from experiments.chaos.saboteur import enlist
from experiments.chaos.services import has_redis, kill_redis, kill_wandb
from experiments.chaos.setting import SHORT, Setting
from experiments.chaos.undisturbed import counted, plain

RESULT = Path(__file__).parents[1] / "results" / "chaos.json"
FAULTS = 1_000
MOST_ROUNDS = 4
"""Rounds; faults whose run ended before their moment are tried again in the next one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.  share: its share of all faults.  faults: most faults in one run."""

    share: float
    faults: int
    attempt: Callable[[str, int, Random, Setting], Outcome]


KINDS: dict[str, Kind] = {
    "NaN kernel": Kind(0.12, 2, misbehave),
    "raising kernel": Kind(0.15, 6, misbehave),
    "raising backward": Kind(0.07, 6, misbehave),
    "out of memory": Kind(0.13, 6, misbehave),
    "busy kernel": Kind(0.08, 8, misbehave),
    "slow kernel": Kind(0.10, 10, misbehave),
    "corrupt checkpoint": Kind(0.15, 4, spoil_checkpoint),
    "full disk": Kind(0.05, 3, interrupt),
    "SIGTERM": Kind(0.04, 3, interrupt),
    "SIGINT": Kind(0.03, 3, interrupt),
    "SIGKILL": Kind(0.04, 3, interrupt),
    "dead Redis": Kind(0.03, 1, kill_redis),
    "dead W&B": Kind(0.01, 1, kill_wandb),
}


COLUMNS = {
    "runs": "runs",
    "faults": "faults",
    "recovered": "recovered",
    "recoveries_due": "due",
    "recoveries_reported": "reported",
    "lost_runs": "lost",
    "wrong_results": "wrong",
}
"""Titles of the counts; `due` and `reported` are recoveries."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run with `faults` faults of one kind."""

    kind: str
    number: int
    faults: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Inject faults, write and print the results; return 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--rng-seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    enlist()
    kinds = {name: KINDS[name] for name in given.kinds if name != "dead Redis" or has_redis()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        outcomes = inject(given.faults, given.rng_seed, kinds, Path(folder))
    rows, failures = table(outcomes), problems(outcomes)
    record = {
        "command": f"python -m experiments.chaos --faults {given.faults} "
        f"--rng-seed {given.rng_seed}",
        "ok": not failures,
        "skipped": [name for name in given.kinds if name not in kinds],
        "recovery_rate": rows["all"]["recovered"] / max(1, rows["all"]["faults"]),
        "kinds": rows,
        "problems": failures,
    }
    out = given.out or (RESULT if given.faults >= FAULTS else None)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(_shown(rows))
    for each in failures:
        print(f"{each['kind']}: reported {each['reported']}, due {each['due']}: {each['problems']}")
    for name in record["skipped"]:
        print(f"{name}: left out, there is no redis-server here")
    print(_verdict(rows["all"], failures))
    return 0 if record["ok"] else 1


def inject(faults: int, rng_seed: int, kinds: Mapping[str, Kind], folder: Path) -> list[Outcome]:
    """Inject about `faults` faults, at least one of each kind; return the outcomes."""
    steady, unsteady = _references(folder)
    targets = {name: max(1, round(faults * kind.share)) for name, kind in kinds.items()}
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        work = partial(_attempted, rng_seed=rng_seed, steady=steady, unsteady=unsteady)
        for _ in range(MOST_ROUNDS):
            missing = _missing(targets, outcomes, kinds)
            if not missing:
                break
            outcomes += pool.map(work, missing)
    return outcomes


def _missing(
    targets: Mapping[str, int], outcomes: Sequence[Outcome], kinds: Mapping[str, Kind]
) -> list[Attempt]:
    """Return attempts for the faults that are still missing."""
    attempts: list[Attempt] = []
    for name, number in targets.items():
        done = [outcome for outcome in outcomes if outcome.kind == name]
        left, index = number - sum(outcome.faults for outcome in done), len(done)
        while left > 0:
            attempts.append(Attempt(name, index, min(left, kinds[name].faults)))
            left, index = left - kinds[name].faults, index + 1
    return attempts


def _references(folder: Path) -> tuple[Setting, Setting]:
    """Run two references: one with the usual blueprints, one with `unsteady`."""
    steady, unsteady = folder / "steady", folder / "unsteady"
    for each in (steady, unsteady):
        each.mkdir()
    calls = counted(steady / "undisturbed", SHORT)
    plain(unsteady / "undisturbed", (*SHORT, *UNSTEADY))
    usual = Setting(steady, steady / "undisturbed", calls)
    return usual, Setting(unsteady, unsteady / "undisturbed", calls)


def _attempted(attempt: Attempt, rng_seed: int, steady: Setting, unsteady: Setting) -> Outcome:
    """Make one attempt in a temporary folder."""
    kind = KINDS[attempt.kind]
    base = unsteady if kind.attempt is misbehave else steady
    name = "".join(letter for letter in attempt.kind if letter.isalpha())
    setting = replace(base, folder=base.folder / f"{name}{attempt.number}")
    setting.folder.mkdir()
    rng = Random(f"chaos/{rng_seed}/{attempt.kind}/{attempt.number}")
    try:
        return kind.attempt(attempt.kind, attempt.faults, rng, setting)
    except (OSError, ValueError, TimeoutError) as error:
        outcome = Outcome(attempt.kind, faults=attempt.faults)
        outcome.lose(f"{type(error).__name__}: {error}: {setting.said()}")
        return outcome
    finally:
        shutil.rmtree(setting.folder, ignore_errors=True)


def _shown(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of counts."""
    header = f"{'kind':20s}" + "".join(f"{title:>12s}" for title in COLUMNS.values())
    lines = [
        f"{kind:20s}" + "".join(f"{row[c]:12d}" for c in COLUMNS) for kind, row in rows.items()
    ]
    return "\n".join([header, *lines])


def _verdict(everything: Mapping[str, int], failures: Sequence[object]) -> str:
    """Return the result in one line."""
    counts = (
        f"{everything['faults']} faults in {everything['runs']} runs: {everything['lost_runs']} "
        f"runs lost, {everything['wrong_results']} results wrong, "
        f"{everything['recoveries_reported']} of {everything['recoveries_due']} recoveries reported"
    )
    return f"{'FAILED' if failures else 'passed'}: {counts}"


if __name__ == "__main__":
    sys.exit(main())
