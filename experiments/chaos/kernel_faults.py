"""Faults of kernels during training: NaN, exceptions, slowness and lack of memory."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch

from esper.growth.param_groups import stale_entries
from experiments.chaos.child import run_command
from experiments.chaos.forks import forked
from experiments.chaos.left import compared, orphans
from experiments.chaos.outcome import Outcome
from experiments.chaos.regions import Call, Region, watch
from experiments.chaos.saboteur import NAME, Misbehaviour, Saboteur, Strike, hire
from experiments.chaos.setting import Setting, is_finished, miscounted, recoveries

BEHAVIOURS = {
    "NaN kernel": ("NaN",),
    "raising kernel": ("raise", "wrong shape"),
    "raising backward": ("raise backward", "broken backward"),
    "out of memory": ("out of memory", "no memory"),
    "busy kernel": ("busy",),
    "slow kernel": ("slow",),
}
"""Behaviours of a kernel, by kind of fault."""

REPEATED = frozenset({"raising kernel", "slow kernel"})
"""Kinds that may strike several times in a row: the breaker opens, or the kernel is just slow."""

EQUAL = frozenset({"busy kernel", "slow kernel"})
"""Kinds that change neither the metrics nor the network."""

UNSTEADY = (f"blueprint.names=[{NAME}]", "model.hidden=[12,12,12]")
PATIENT = (*UNSTEADY, "recovery.quarantine_after=1000")
"""By default a run bars its only blueprint after three failures, so no kernel could fail again."""

FIRST_EPOCH, LAST_EPOCH, MOST_PASSAGES = 4, 20, 8
MOST_IN_A_ROW = 4
MOST_ROLLBACKS = 2
"""After one more rollback growth ends, and no kernel can fail any more."""
CLOSING = {"closing": Region("esper.grower.grower", "Grower.close")}


def plan_of(kind: str, faults: int, rng: Random) -> dict[int, Misbehaviour]:
    """Return misbehaviours by epoch, which happen `faults` times in all."""
    plan: dict[int, Misbehaviour] = {}
    left = min(faults, MOST_ROLLBACKS) if kind == "NaN kernel" else faults
    for epoch in rng.sample(range(FIRST_EPOCH, LAST_EPOCH), LAST_EPOCH - FIRST_EPOCH):
        if left == 0:
            break
        times = min(left, rng.randint(1, MOST_IN_A_ROW)) if kind in REPEATED else 1
        plan[epoch] = Misbehaviour(
            rng.choice(BEHAVIOURS[kind]), rng.randint(1, MOST_PASSAGES), times
        )
        left -= times
    return plan


def misbehave(kind: str, faults: int, rng: Random, setting: Setting) -> Outcome:
    """Let kernels of one run misbehave at most `faults` times; return the outcome."""
    outcome = Outcome(kind)
    record = setting.folder / "record.json"
    options = rng.choice((UNSTEADY, PATIENT))
    work = partial(sabotaged, setting.command(options), plan_of(kind, faults, rng), record)
    code = forked(work, setting.log)
    if code or not is_finished(setting.run):
        outcome.faults = faults
        outcome.lose(f"exit code {code}: {setting.said()}")
        return outcome
    report = json.loads(record.read_text(encoding="utf-8"))
    strikes = [Strike(**strike) for strike in report["strikes"]]
    outcome.faults, outcome.due = len(strikes), sum(map(_is_due, strikes))
    outcome.reported = recoveries(setting.run, ("kernel", "training", "governor"))
    outcome.expect_none([*report["problems"], *orphans(setting.run), *miscounted(setting.run)])
    if kind in EQUAL:
        names = ("metrics.jsonl", "network.safetensors")
        outcome.expect_none(compared(setting.run, setting.reference, names))
    return outcome


def sabotaged(command: Sequence[str], plan: dict[int, Misbehaviour], record: Path) -> int:
    """Run a command in this process with a saboteur, and write a record of its strikes."""
    boss = Saboteur(plan)
    hire(boss)
    problems: list[str] = []

    def look(name: str, call: Call) -> Any:
        problems.extend(_problems(call.args[0].host))
        return call()

    watch(look, CLOSING)
    code = run_command(command)
    strikes = [asdict(strike) for strike in boss.strikes]
    record.write_text(json.dumps({"strikes": strikes, "problems": problems}), encoding="utf-8")
    return code


def _problems(host: Any) -> list[str]:
    """Return the problems of a network after its run."""
    weights = host.model.state_dict().items()
    broken = [name for name, weight in weights if not torch.isfinite(weight).all()]
    return [f"{name} is not finite" for name in broken] + stale_entries(host.optimizer, host.model)


def _is_due(strike: Strike) -> bool:
    """Return whether a fault needs a recovery."""
    if strike.behaviour == "slow":
        return False
    # The output of an isolated kernel never reaches the host, so nothing needs a recovery.
    return not (strike.behaviour == "NaN" and strike.is_isolated)
