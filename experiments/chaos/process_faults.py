"""Signals, kills and a full disk: a run that is stopped and resumed must end the same."""

import signal
from random import Random

from experiments.chaos.child import Fault
from experiments.chaos.left import differences
from experiments.chaos.outcome import Outcome
from experiments.chaos.setting import Setting, is_finished, miscounted

REGIONS = (
    "training",
    "control step",
    "germination",
    "cull",
    "fossil",
    "record",
    "checkpoint",
    "checkpoint file",
    "checkpoint turn",
    "checkpoint best",
)
ENDS = {
    "SIGTERM": {130},
    "SIGINT": {130},
    "SIGKILL": {-signal.SIGKILL},
    "full disk": {1},
}
"""Allowed exit codes of a disturbed process: minus the signal if one killed it.

A run that is stopped in its last epoch may also finish.
"""
FAULTS = {"SIGTERM": "terminate", "SIGINT": "interrupt", "SIGKILL": "kill", "full disk": "fill"}


def interrupt(kind: str, faults: int, rng: Random, setting: Setting) -> Outcome:
    """Stop a run at a random moment, and again each time it is resumed; then let it finish."""
    outcome = Outcome(kind)
    command = setting.command()
    for _ in range(faults):
        region = rng.choice(REGIONS)
        entries = len(setting.calls[region]) if outcome.faults == 0 else 1 + faults
        entry = rng.randrange(min(entries, len(setting.calls[region])))
        calls = rng.randrange(setting.calls[region][entry])
        fault = Fault(region=region, entry=entry, calls=calls, fault=FAULTS[kind])
        code = setting.disturb(command, fault)
        if not setting.has_struck():
            break
        outcome.faults += 1
        if code not in ENDS[kind] and not (code == 0 and is_finished(setting.run)):
            outcome.expect_none([f"exit code {code} after {fault}: {setting.said()}"])
        if kind != "SIGKILL":
            outcome.expect_none(_stray(setting))
        command = setting.resumption()
    if not is_finished(setting.run):
        code = setting.disturb(command, None)
        if code or not is_finished(setting.run):
            outcome.lose(f"exit code {code} when resumed: {setting.said()}")
            return outcome
    outcome.expect_none(differences(setting.run, setting.reference))
    outcome.expect_none(miscounted(setting.run))
    return outcome


def _stray(setting: Setting) -> list[str]:
    """Return temporary files that a process should have removed before it exited."""
    names = (path.relative_to(setting.run).as_posix() for path in setting.run.rglob("*"))
    return [f"left {name}" for name in names if name.endswith((".part", ".cut"))]
