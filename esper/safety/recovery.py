"""Recover from kernels that fail: count failures, let kernels rest, bar blueprints.

    kernel     `failures` in a row open its breaker: the network leaves it out for `rest_epochs`
               epochs, then tries it for one, and keeps it if it works.  Meanwhile its seed fails
               every gate, because measurements without the kernel do not describe it.
    blueprint  `quarantine_after` failures bar it from the run and cull its live seeds.

Fossilized kernels rest like others, but are never culled: they are part of the network.
"""

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from esper.attribution.trials import Trials
from esper.contracts.decision import Decision
from esper.contracts.event import Event, KernelBuilt, LifecycleMove, Recovery
from esper.contracts.stage import LIVE, SeedStage
from esper.growth.attach import bank_of
from esper.growth.bank import KernelBank
from esper.growth.host import Host
from esper.growth.lifecycle import cull_and_embargo
from esper.growth.slot import Seed
from esper.kernels.errors import KeepsFailingError, Remedy
from esper.kernels.faults import Fault
from esper.kernels.kernel import KernelError
from esper.kernels.options import RecoveryOptions
from esper.safety.breaker import Breaker
from esper.safety.watch import HealthWatch


class KernelGuard:
    """Guards a run against kernels that fail.

    recovered, unrecovered: number of failures with and without recovery, by remedy.
    quarantined: blueprints barred for the rest of the run.
    watch: measures how well the kernels work.
    """

    def __init__(self, trials: Trials, options: RecoveryOptions) -> None:
        self.trials, self.options = trials, options
        self.watch = HealthWatch(trials.host)
        self.recovered: Counter[str] = Counter()
        self.unrecovered: Counter[str] = Counter()
        self.quarantined: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._breakers: dict[str, Breaker] = {}

    def review(self, epoch: int) -> list[Recovery]:
        """Count the faults of an epoch's training; close the breakers of kernels that worked."""
        return [*self.notice(epoch), *self._working(epoch)]

    def notice(self, epoch: int) -> list[Recovery]:
        """Count the faults since the last call; return their events."""
        recoveries: list[Recovery] = []
        host = self.trials.host
        for seed, bank in self._kernels(host):
            if faults := bank.faults.take(seed.index):
                recoveries += self._count(seed, faults, epoch)
        for bank in _banks(host):
            faults = bank.faults.take(None)
            recoveries += [_recovery(fault, None, recovered=True) for fault in faults]
        return recoveries

    def build_failed(self, attempt: KernelBuilt) -> list[Recovery]:
        """Count a kernel that could not be built; return its events."""
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
        return [recovery, *self._blame(attempt.blueprint, recovery)]

    def tally(self, event: Event) -> None:
        """Add an event of kind `recovery`, from any source, to the counts of the run."""
        recovery: Recovery = event.body
        counts = self.recovered if recovery.recovered else self.unrecovered
        counts[recovery.strategy] += recovery.count

    def bar(self, decision: Decision) -> Decision:
        """Return the decision with quarantined blueprints barred."""
        added = sorted(self.quarantined.difference(decision.barred))
        return replace(decision, barred=(*decision.barred, *added)) if added else decision

    def cull(self, epoch: int) -> list[LifecycleMove]:
        """Cull live seeds in quarantine, and seeds on probation whose kernel rests."""
        moves: list[LifecycleMove] = []
        for seed in self._seeds():
            activation = seed.activation
            if seed.stage in LIVE and activation.blueprint in self.quarantined:
                reason = f"blueprint '{activation.blueprint}' is in quarantine"
            elif seed.stage is SeedStage.PROBATIONARY and activation.rests:
                reason = f"its kernel rests after {activation.errors} failures"
            else:
                continue
            moves += cull_and_embargo(self.trials.host, seed, epoch, reason)
        return moves

    def prepare(self, epoch: int) -> None:
        """Select the kernels of the network and its twins that run in the next epoch."""
        keys = {_key(seed) for seed in self._seeds()}
        self._breakers = {
            key: breaker for key, breaker in self._breakers.items() if key in keys and breaker.count
        }
        rest = self.options.rest_epochs
        resting = {key for key, each in self._breakers.items() if not each.allows(epoch, rest)}
        self._set_options()
        for twin in self.trials.twins:
            for bank in _banks(twin):
                # Only the network's own kernels are judged, not their copies in twins.
                bank.faults.clear()
        for host in (self.trials.host, *self.trials.twins):
            for seed, bank in self._kernels(host):
                if _key(seed) in resting:
                    bank.faults.resting.add(seed.index)
                else:
                    bank.faults.allow(seed.index, self._num_left(_key(seed)))
        self._rebind()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, except the state of the banks, as plain values."""
        return {
            "recovered": dict(self.recovered),
            "unrecovered": dict(self.unrecovered),
            "quarantined": sorted(self.quarantined),
            "failures": dict(self._failures),
            "breakers": {key: asdict(breaker) for key, breaker in self._breakers.items()},
            "watch": self.watch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`, after those of the host and its twins."""
        self.recovered = Counter(state["recovered"])
        self.unrecovered = Counter(state["unrecovered"])
        self.quarantined = set(state["quarantined"])
        self._failures = Counter(state["failures"])
        self._breakers = {key: Breaker(**saved) for key, saved in state["breakers"].items()}
        self.watch.load_state_dict(state["watch"])
        self._set_options()

    def _working(self, epoch: int) -> list[Recovery]:
        """Close the breakers of kernels that ran without failure; return events of their return."""
        recoveries: list[Recovery] = []
        for seed in self._seeds():
            breaker = self._breakers.get(_key(seed))
            if breaker is None or breaker.is_open or breaker.failed_at == epoch:
                continue
            if breaker.is_on_trial:
                recoveries.append(_works_again(seed))
            breaker.succeed()
            seed.activation.rests = False
        return recoveries

    def _count(self, seed: Seed, faults: list[Fault], epoch: int) -> list[Recovery]:
        """Count a kernel's faults for its breaker, its activation and its blueprint."""
        activation = seed.activation
        breaker = self._breakers.setdefault(_key(seed), Breaker())
        is_first = breaker.failed_at != epoch
        failed = [fault for fault in faults if fault.remedy != Remedy.RETRY]
        most = self.options.failures
        opens = [breaker.fail(epoch, most) for fault in failed for _ in range(fault.count)]
        activation.rests = breaker.is_open
        recoveries: list[Recovery] = []
        for fault in faults:
            recovered = not activation.rests or fault.remedy == Remedy.RETRY
            activation.errors += fault.count
            activation.recoveries += fault.count if recovered else 0
            recoveries.append(_recovery(fault, seed, recovered=recovered))
        if any(opens):
            recoveries.append(self._opened(seed, failed[-1], breaker.count))
        if failed and is_first:
            recoveries += self._blame(activation.blueprint, recoveries[-1])
        return recoveries

    def _opened(self, seed: Seed, fault: Fault, count: int) -> Recovery:
        message = (
            f"{_name(seed)} failed {count} times in a row and rests {self.options.rest_epochs} "
            f"epochs, last with {fault.error}: {fault.message}"
        )
        strategy = Remedy.CIRCUIT_BREAKER.value
        recovery = _recovery(fault, seed, recovered=False)
        return replace(recovery, strategy=strategy, message=message, count=1)

    def _blame(self, blueprint: str, failure: Recovery) -> list[Recovery]:
        """Count a failure of a blueprint; return the event of its quarantine if that follows.

        All failures of one kernel in one epoch count as one.
        """
        self._failures[blueprint] += 1
        count = self._failures[blueprint]
        if blueprint in self.quarantined or count < self.options.quarantine_after:
            return []
        self.quarantined.add(blueprint)
        message = f"blueprint '{blueprint}' failed {count} times and is barred from the run"
        return [replace(failure, strategy="quarantine", recovered=False, message=message, count=1)]

    def _rebind(self) -> None:
        """Bind dormant seeds of quarantined blueprints, which could not germinate, to others."""
        for slot in self.trials.host.slots.values():
            offered = [name for name in slot.spec.catalogue if name not in self.quarantined]
            for seed in slot.seeds:
                if offered and seed.stage is SeedStage.DORMANT and seed.bound in self.quarantined:
                    bound = {other.bound for other in slot.seeds}
                    seed.bound = next((name for name in offered if name not in bound), offered[0])

    def _set_options(self) -> None:
        """Switch recovery on in every bank, and mark the fossilized kernels."""
        for host in (self.trials.host, *self.trials.twins):
            for seed, bank in self._kernels(host):
                bank.faults.options = self.options
                if seed.stage is SeedStage.FOSSILIZED:
                    bank.faults.fossils.add(seed.index)

    def _num_left(self, key: str) -> int:
        """Return the number of failures after which a running kernel has to rest."""
        breaker = self._breakers.get(key, Breaker())
        return 1 if breaker.is_on_trial else self.options.failures - breaker.count

    def _seeds(self) -> list[Seed]:
        """Return the seeds of the network that hold a kernel."""
        return [seed for seed in self.trials.host.seeds() if seed.current is not None]

    def _kernels(self, host: Host) -> list[tuple[Seed, KernelBank]]:
        """Return the network's seeds with their banks in `host`, the network or a twin."""
        pairs = [(seed, bank_of(host.slots[seed.slot].module)) for seed in self._seeds()]
        return [
            (seed, bank)
            for seed, bank in pairs
            if bank is not None and str(seed.index) in bank.kernels
        ]


def _banks(host: Host) -> list[KernelBank]:
    banks = [bank_of(slot.module) for slot in host.slots.values()]
    return [bank for bank in banks if bank is not None]


def _key(seed: Seed) -> str:
    """Return a key of the seed's kernel; later kernels of the seed have others."""
    return f"{seed.slot}/{seed.index}/{seed.activations}"


def _name(seed: Seed) -> str:
    return f"kernel '{seed.activation.blueprint}' of seed {seed.index} in slot '{seed.slot}'"


def _recovery(fault: Fault, seed: Seed | None, *, recovered: bool) -> Recovery:
    subject = "a training step" if seed is None else _name(seed)
    times = f" {fault.count} times" if fault.count > 1 else ""
    return Recovery(
        where="training" if seed is None else "kernel",
        error=fault.error,
        strategy=fault.remedy,
        recovered=recovered,
        message=f"{subject} failed{times}: {fault.error}: {fault.message}",
        count=fault.count,
        slot=None if seed is None else seed.slot,
        seed=None if seed is None else seed.index,
        blueprint=None if seed is None else seed.activation.blueprint,
    )


def _works_again(seed: Seed) -> Recovery:
    return Recovery(
        where="kernel",
        error=KeepsFailingError.__name__,
        strategy=Remedy.CIRCUIT_BREAKER.value,
        recovered=True,
        message=f"{_name(seed)} has rested, took part for an epoch without a failure, and stays",
        slot=seed.slot,
        seed=seed.index,
        blueprint=seed.activation.blueprint,
    )
