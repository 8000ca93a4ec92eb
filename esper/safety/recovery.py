"""Recover from kernels that fail: count their failures, let them rest, try them again, or give up.

    kernel     `failures` in a row open its breaker: it is left out of the network `rest_epochs`
               epochs, then takes part for one; if it works it stays, as it was.  A live seed whose
               kernel rests passes no gate, for what is measured meanwhile says nothing about it.
    blueprint  `quarantine_after` failures bar it for the run, and its live seeds are culled.

A fossilized kernel is part of the network: it rests like any other, and is never culled.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from esper.attribution.trials import Trials
from esper.contracts.decision import Decision
from esper.contracts.event import Event, KernelBuilt, LifecycleMove, Recovery
from esper.contracts.stage import LIVE, SeedStage
from esper.growth.attach import bank_of
from esper.growth.bank import KernelBank
from esper.growth.lifecycle import cull_and_embargo
from esper.growth.slot import Seed
from esper.kernels.errors import KeepsFailingError, Remedy, remedy_of
from esper.kernels.faults import NOBODY, Fault
from esper.kernels.kernel import KernelError
from esper.kernels.options import Recover
from esper.safety.breaker import Breaker
from esper.safety.quarantine import Quarantine

_S = SeedStage


class Recovering:
    """What a run knows of failing kernels.

    recovered, unrecovered: failures so far after which what failed took part again, and those
        after which it did not, by what was done about them.
    """

    def __init__(self, pending: Trials, options: Recover) -> None:
        self.pending, self.options = pending, options
        self.recovered: Counter[str] = Counter()
        self.unrecovered: Counter[str] = Counter()
        self._quarantine = Quarantine(options.quarantine_after)
        self._breakers: dict[str, Breaker] = {}
        self._last_failed: dict[str, int] = {}

    @property
    def quarantined(self) -> frozenset[str]:
        """Blueprints that nothing is to germinate with any more."""
        return self._quarantine.names

    def review(self, epoch: int) -> list[Recovery]:
        """Judge the kernels after an epoch's training; return what to tell."""
        return [*self.notice(epoch), *self._working(epoch)]

    def notice(self, epoch: int) -> list[Recovery]:
        """Count what has failed since the last call; return what to tell."""
        told: list[Recovery] = []
        for seed, bank in self._kernels():
            incidents = bank.care.notes.take(str(seed.index))
            told += self._count(seed, incidents, epoch) if incidents else []
        for bank in self._banks():
            for incident in bank.care.notes.take(NOBODY):
                told.append(_recovery(incident, None, recovered=True))
        return told

    def build_failed(self, attempt: KernelBuilt) -> list[Recovery]:
        """Count a kernel that could not be built; return what to tell."""
        recovery = Recovery(
            where="kernel",
            error=KernelError.__name__,
            strategy=Remedy.DEGRADE.value,
            recovered=False,
            message=attempt.error or "it could not be built",
            slot=attempt.slot,
            seed=attempt.seed,
            blueprint=attempt.blueprint,
        )
        return [recovery, *self._quarantine.blame(attempt.blueprint, recovery)]

    def tally(self, event: Event) -> None:
        """Count an event of kind `recovery`, whoever told it."""
        recovery: Recovery = event.body
        counts = self.recovered if recovery.recovered else self.unrecovered
        counts[recovery.strategy] += recovery.count

    def bar(self, decision: Decision) -> Decision:
        """Return a decision that bars what is in quarantine as well."""
        added = sorted(self.quarantined.difference(decision.barred))
        return replace(decision, barred=(*decision.barred, *added)) if added else decision

    def cull(self, epoch: int) -> list[LifecycleMove]:
        """Cull live seeds in quarantine, and those on probation whose kernel rests."""
        moves: list[LifecycleMove] = []
        for seed in self._seeds():
            if seed.stage not in LIVE:
                continue
            if seed.activation.blueprint in self.quarantined:
                reason = f"blueprint '{seed.activation.blueprint}' is in quarantine"
                moves += cull_and_embargo(self.pending.host, seed, epoch, reason)
            elif seed.activation.rests and seed.stage is _S.PROBATIONARY:
                reason = f"its kernel rests after {seed.activation.errors} failures"
                moves += cull_and_embargo(self.pending.host, seed, epoch, reason)
        return moves

    def prepare(self, epoch: int) -> None:
        """Say, after a control step, which kernels take part in the epoch to come, twins' too."""
        activation = {_key(seed) for seed in self._seeds()}
        self._breakers = {
            key: found for key, found in self._breakers.items() if key in activation and found.count
        }
        self._last_failed = {k: found for k, found in self._last_failed.items() if k in activation}
        allowed = {key: breaker.allows(epoch) for key, breaker in self._breakers.items()}
        self._look_after()
        for bank in self._banks(of_twins=True):
            # Their kernels are the network's own, which were judged.
            bank.care.notes.clear()
        for seed, bank in self._kernels(with_twins=True):
            key = _key(seed)
            if allowed.get(key, True):
                bank.care.allow(str(seed.index), self._num_left(key))
            else:
                bank.care.rest(str(seed.index))
        self._quarantine.bind_anew(self.pending.host)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, as plain values; what banks know is theirs."""
        return {
            "recovered": dict(self.recovered),
            "unrecovered": dict(self.unrecovered),
            "quarantine": self._quarantine.state_dict(),
            "breakers": {key: breaker.state_dict() for key, breaker in self._breakers.items()},
            "last_failed": dict(self._last_failed),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; the host and its twins stand where they stood already."""
        self.recovered = Counter(state["recovered"])
        self.unrecovered = Counter(state["unrecovered"])
        self._quarantine.load_state_dict(state["quarantine"])
        self._last_failed = dict(state["last_failed"])
        self._breakers = {}
        for key, saved in state["breakers"].items():
            self._breakers[key] = self._new_breaker()
            self._breakers[key].load_state_dict(saved)
        self._look_after()

    def _working(self, epoch: int) -> list[Recovery]:
        """Start the count anew of kernels without a failure; return which have come back."""
        told: list[Recovery] = []
        for seed in self._seeds():
            breaker = self._breakers.get(_key(seed))
            if breaker is None or breaker.state == "open" or self._has_failed(seed, epoch):
                continue
            if breaker.state == "half_open":
                told.append(_works_again(seed))
            breaker.succeeded()
            seed.activation.rests = False
        return told

    def _count(self, seed: Seed, incidents: list[Fault], epoch: int) -> list[Recovery]:
        """Enter a kernel's failures into its breaker, its life and its blueprint's record."""
        failed = [i for i in incidents if i.remedy != Remedy.RETRY]
        breaker = self._breakers.setdefault(_key(seed), self._new_breaker())
        opens = [breaker.failed(epoch) for incident in failed for _ in range(incident.count)]
        activation = seed.activation
        activation.rests = breaker.state == "open"
        activation.errors += sum(incident.count for incident in incidents)
        told: list[Recovery] = []
        for incident in incidents:
            recovered = not activation.rests or incident not in failed
            activation.recoveries += incident.count if recovered else 0
            told.append(_recovery(incident, seed, recovered=recovered))
        if any(opens):
            told.append(self._rests(seed, failed[-1]))
        if failed and not self._has_failed(seed, epoch):
            self._last_failed[_key(seed)] = epoch
            told += self._quarantine.blame(activation.blueprint, told[-1])
        return told

    def _rests(self, seed: Seed, incident: Fault) -> Recovery:
        count = self._breakers[_key(seed)].count
        error = KeepsFailingError(
            f"{_name(seed)} failed {count} times in a row and rests {self.options.rest_epochs} "
            f"epochs, last with {incident.error}: {incident.message}"
        )
        found = replace(incident, remedy=remedy_of(error).value, count=1)
        return _recovery(found, seed, recovered=False, message=str(error))

    def _look_after(self) -> None:
        for seed, bank in self._kernels(with_twins=True):
            bank.care.options = self.options
            if seed.stage is _S.FOSSILIZED:
                bank.care.fossils.add(str(seed.index))

    def _num_left(self, key: str) -> int:
        """Return how many more failures a kernel that takes part is allowed."""
        breaker = self._breakers.get(key)
        if breaker is None:
            return self.options.failures
        return 1 if breaker.state == "half_open" else self.options.failures - breaker.count

    def _new_breaker(self) -> Breaker:
        return Breaker(self.options.failures, self.options.rest_epochs)

    def _has_failed(self, seed: Seed, epoch: int) -> bool:
        return self._last_failed.get(_key(seed)) == epoch

    def _seeds(self) -> list[Seed]:
        """Return the seeds of the network that hold a kernel."""
        return [seed for seed in self.pending.host.seeds() if seed.current is not None]

    def _banks(self, *, of_twins: bool = False) -> list[KernelBank]:
        """Return what holds the kernels of the network, or those of its twins."""
        twins = [change.twin for change in self.pending.changes if change.twin is not None]
        hosts = twins if of_twins else [self.pending.host]
        found = (bank_of(slot.module) for host in hosts for slot in host.slots.values())
        return [bank for bank in found if bank is not None]

    def _kernels(self, *, with_twins: bool = False) -> Iterator[tuple[Seed, KernelBank]]:
        """Pair the network's seeds with the banks that hold their kernels."""
        twins = [change.twin for change in self.pending.changes if change.twin is not None]
        for host in (self.pending.host, *(twins if with_twins else ())):
            for seed in self._seeds():
                bank = bank_of(host.slots[seed.slot].module)
                if bank is not None and str(seed.index) in bank.kernels:
                    yield seed, bank


def _key(seed: Seed) -> str:
    """Name the kernel that a seed holds: the next one in its place is another."""
    return f"{seed.slot}/{seed.index}/{seed.activations}"


def _name(seed: Seed) -> str:
    return f"kernel '{seed.activation.blueprint}' of seed {seed.index} in slot '{seed.slot}'"


def _recovery(
    incident: Fault, seed: Seed | None, *, recovered: bool, message: str | None = None
) -> Recovery:
    who = "a training step" if seed is None else _name(seed)
    times = f" {incident.count} times" if incident.count > 1 else ""
    return Recovery(
        where="training" if seed is None else "kernel",
        error=incident.error,
        strategy=incident.remedy,
        recovered=recovered,
        message=message or f"{who} failed{times}: {incident.error}: {incident.message}",
        count=incident.count,
        slot=None if seed is None else seed.slot,
        seed=None if seed is None else seed.index,
        blueprint=None if seed is None else seed.activation.blueprint,
    )


def _works_again(seed: Seed) -> Recovery:
    message = f"{_name(seed)} has rested, took part for an epoch without a failure, and goes on"
    incident = Fault(
        seed=str(seed.index),
        error=KeepsFailingError.__name__,
        remedy=Remedy.CIRCUIT_BREAKER.value,
        message=message,
    )
    return _recovery(incident, seed, recovered=True, message=message)
