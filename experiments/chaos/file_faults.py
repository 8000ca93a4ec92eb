"""Spoil checkpoints before a run is resumed from them."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from experiments.chaos.child import Fault
from experiments.chaos.left import differences
from experiments.chaos.outcome import Outcome
from experiments.chaos.setting import Setting, is_finished, miscounted, recoveries

PARTS = ("tensors.safetensors", "state.json", "manifest.json")
PICKLE = b"\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."
FIRST_EPOCH = 2
"""The first epoch at which a run has an earlier checkpoint to fall back to."""


def spoil_checkpoint(kind: str, faults: int, rng: Random, setting: Setting) -> Outcome:
    """Stop a run, spoil its last checkpoint and resume it, `faults` times; let it finish."""
    outcome = Outcome(kind)
    entries = len(setting.calls["checkpoint"])
    stops = sorted(rng.sample(range(FIRST_EPOCH, entries - 1), faults))
    command, epoch = setting.command(), 0
    for stop in stops:
        # A resumed run enters this region once for each epoch that is left.
        fault = Fault(region="record", entry=stop - epoch, calls=0, fault="terminate")
        setting.disturb(command, fault)
        if not setting.has_struck() or is_finished(setting.run):
            break
        epoch = _saved_epoch(setting.run / "checkpoints" / "last") - 1
        _spoil(setting.run / "checkpoints" / "last" / rng.choice(PARTS), rng)
        outcome.faults, outcome.due = outcome.faults + 1, outcome.due + 1
        command = setting.resumption()
    code = setting.disturb(command, None)
    if code or not is_finished(setting.run):
        outcome.lose(f"exit code {code} when resumed: {setting.said()}")
        return outcome
    outcome.reported = recoveries(setting.run, ["checkpoint"])
    outcome.expect_none(differences(setting.run, setting.reference))
    outcome.expect_none(miscounted(setting.run))
    return outcome


def _spoil(file: Path, rng: Random) -> None:
    content = file.read_bytes()
    content = rng.choice(SPOILERS)(content, rng)
    file.write_bytes(content)


def _flip(content: bytes, rng: Random) -> bytes:
    """Flip one bit."""
    place = rng.randrange(len(content))
    turned = content[place] ^ (1 << rng.randrange(8))
    return content[:place] + bytes([turned]) + content[place + 1 :]


def _cut(content: bytes, rng: Random) -> bytes:
    """Cut off the end, as an interrupted copy does."""
    return content[: rng.randrange(len(content))]


def _pickle(content: bytes, rng: Random) -> bytes:
    """Return a pickle instead."""
    return PICKLE


def _zeros(content: bytes, rng: Random) -> bytes:
    """Return zeros instead, as some file systems do after a power cut."""
    return bytes(len(content))


SPOILERS: tuple[Callable[[bytes, Random], bytes], ...] = (_flip, _cut, _pickle, _zeros)


def _saved_epoch(checkpoint: Path) -> int:
    manifest = json.loads((checkpoint / "manifest.json").read_bytes())
    epoch: int = manifest["facts"]["epoch"]
    return epoch
