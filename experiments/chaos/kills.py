"""Kill runs at random moments; each resumed run must be bit-identical to an undisturbed one.

    python -m experiments.chaos.kills --kills 50

The moments are drawn within and between germinations, blendings, culls and fossilizations, and
while the run writes its checkpoints and its records; a third of the latter leave a file half
written.  Every fourth run is killed again after it was resumed; every fifth is resumed by a fresh
interpreter.  Then sweeps are killed and started again.  With 50 kills or more, the results go to
`experiments/results/kills.json`, with fewer only to `--out`.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import torch

from experiments.chaos.child import Fault, disturbed, run_command
from experiments.chaos.forks import forked, fresh
from experiments.chaos.left import differences
from experiments.chaos.setting import SHORT
from experiments.chaos.sweeps import killed_sweep
from experiments.chaos.undisturbed import counted, plain

RESULT = Path(__file__).parents[1] / "results" / "kills.json"
COMMAND = (
    "train",
    "logger=none",
    "data=spirals",
    "model=mlp",
    "policy=schedule",
    "strategy=thompson",
    "safety.max_cost=9",
)
"""A run of 40 epochs in about two seconds that germinates three times, culls and fossilizes."""
ORDER = (
    ("germination", "kill"),
    ("checkpoint file", "torn"),
    ("training", "kill"),
    ("cull", "kill"),
    ("checkpoint turn", "kill"),
    ("fossil", "kill"),
    ("control step", "kill"),
    ("checkpoint", "kill"),
    ("change", "kill"),
    ("record", "torn"),
    ("checkpoint file", "kill"),
    ("blending", "kill"),
    ("training", "kill"),
    ("checkpoint best", "kill"),
    ("record", "kill"),
    ("end", "kill"),
    ("start", "kill"),
)
"""Regions and kinds of the kills, in turn."""
AGAIN, FRESH = 4, 5
KILLS, SWEEP_KILLS = 50, 6
KILLED = -signal.SIGKILL


@dataclass
class Case:
    """One run that is killed and resumed.

    faults: one for its first start, and perhaps one for the resumed run.
    """

    number: int
    faults: list[Fault]
    is_fresh: bool
    kills: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def draw(calls: Mapping[str, Sequence[int]], region: str, fault: str, rng: Random) -> Fault:
    """Return a fault at a random moment of a region: any entry, any call within it."""
    entry = rng.randrange(len(calls[region]))
    return Fault(region=region, entry=entry, calls=rng.randrange(calls[region][entry]), fault=fault)


def plan(calls: Mapping[str, Sequence[int]], kills: int, rng_seed: int) -> list[Case]:
    """Return a case for each kill; some have a second fault, which the run may not reach."""
    rng = Random(f"kills/{rng_seed}")
    order = [moment for moment in ORDER if moment[0] in calls]
    cases: list[Case] = []
    for number in range(kills):
        faults = [draw(calls, *order[number % len(order)], rng)]
        if number % AGAIN == AGAIN - 1:
            later = draw(calls, *rng.choice(order), rng)
            # The rest of the run has fewer entries, so choose an early one.
            faults.append(replace(later, entry=later.entry // AGAIN))
        cases.append(Case(number, faults, is_fresh=number % FRESH == FRESH - 1))
    return cases


def killed(case: Case, folder: Path, command: Sequence[str]) -> Case:
    """Run, kill and resume until the run is finished; note differences."""
    run, log, place = (folder / f"{case.number}{suffix}" for suffix in ("", ".log", ".place"))
    arguments, waiting = [*command, f"hydra.run.dir={run}"], list(case.faults)
    while True:
        if waiting:
            code = forked(partial(disturbed, arguments, waiting.pop(0), place), log)
        elif case.is_fresh:
            code = fresh(arguments, log)
        else:
            code = forked(partial(run_command, arguments), log)
        if code != KILLED:
            break
        case.kills.append(
            {**json.loads(place.read_text()), "epochs_recorded": _epochs_recorded(run)}
        )
        arguments = ["train", "--resume", str(run)]
    if code:
        case.differences.append(f"exit code {code}: {log.read_text()[-500:]}")
    else:
        case.differences += differences(run, folder / "undisturbed")
    return case


def _epochs_recorded(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return len(metrics.read_bytes().splitlines()) if metrics.exists() else 0


def measure(kills: int, rng_seed: int, command: Sequence[str] = COMMAND) -> dict[str, Any]:
    """Kill and resume runs; return the counts and all cases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain(folder / "undisturbed", command)
        calls = counted(folder / "counted", command)
        unlike = differences(folder / "counted", folder / "undisturbed")
        if unlike:
            raise RuntimeError(f"two undisturbed runs differ in {unlike}")
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            work = partial(killed, folder=folder, command=command)
            cases = list(pool.map(work, plan(calls, kills, rng_seed)))
    struck = [kill for case in cases for kill in case.kills]
    return {
        "runs": len(cases),
        "kills": len(struck),
        "bit_identical": sum(not case.differences for case in cases),
        "resumed_by_a_fresh_process": sum(case.is_fresh for case in cases),
        "regions": Counter(kill["region"] for kill in struck),
        "half_written": sum(kill["fault"] == "torn" for kill in struck),
        "entries": {name: len(each) for name, each in calls.items()},
        "cases": [asdict(case) for case in cases],
    }


def sweeps(num_sweeps: int, kills: int, rng_seed: int) -> list[dict[str, Any]]:
    """Kill `num_sweeps` sweeps `kills` times each; return their records."""
    with tempfile.TemporaryDirectory() as name:
        records = []
        for number in range(num_sweeps):
            folder = Path(name) / str(number)
            folder.mkdir()
            records.append(killed_sweep(kills, rng_seed + number, folder))
        return records


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, resume, compare, write and print; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--rng-seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a run half as long")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options = f"--kills {given.kills} --sweeps {given.sweeps} --rng-seed {given.rng_seed}"
    options += " --short" if given.short else ""
    runs = measure(given.kills, given.rng_seed, SHORT if given.short else COMMAND)
    killed_sweeps = sweeps(given.sweeps, SWEEP_KILLS, given.rng_seed)
    ok = runs["bit_identical"] == runs["runs"] and not any(s["differences"] for s in killed_sweeps)
    record = {"command": f"python -m experiments.chaos.kills {options}", "ok": ok}
    out = given.out or (RESULT if given.kills >= KILLS else None)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**record, **runs, "sweeps": killed_sweeps}, indent=1) + "\n")
    print(f"{runs['kills']} kills of {runs['runs']} runs: {runs['bit_identical']} bit-identical")
    print(f"killed within: {dict(runs['regions'])}, {runs['half_written']} files half written")
    for case in runs["cases"]:
        for difference in case["differences"]:
            print(f"  run {case['number']}: {difference}")
    for sweep in killed_sweeps:
        result = "; ".join(sweep["differences"]) or "ends like the undisturbed one"
        print(f"sweep killed {sweep['kills']} times: {result}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
