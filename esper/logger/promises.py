"""What plans promised of each seed beside what came of it."""

from dataclasses import dataclass

from esper.strategy.agreement import Agreement


@dataclass(slots=True, kw_only=True)
class Promise:
    """A germination of which a gain was expected, and the gain that was measured.

    epoch: of the plan.
    expected: relative gain that the plan expected of the blueprint.
    measured: settled gain of the seed; None before, and if it was never measured.
    """

    epoch: int
    slot: str
    seed: int
    blueprint: str
    expected: float
    measured: float | None = None


class Promises:
    """Every promise of a run, by epoch, slot and seed; fed in order of events.

    agreement: of the expected gains with the measured ones.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, str, int], Promise] = {}
        self.agreement = Agreement()

    def promise(
        self, epoch: int, slot: str, seed: int, blueprint: str, expected: float | None
    ) -> None:
        """Note what a plan expects of a germination; nothing if that is unknown."""
        if expected is not None:
            self._made[epoch, slot, seed] = Promise(
                epoch=epoch, slot=slot, seed=seed, blueprint=blueprint, expected=expected
            )

    def settle(
        self, germinated_epoch: int, slot: str, seed: int, gain: float | None
    ) -> Promise | None:
        """Note a settled gain; return the promise that it belongs to, None without one.

        It counts once: a kept kernel is judged again at later looks, with the same settled gain.
        """
        made = self._made.get((germinated_epoch, slot, seed))
        if made is None or made.measured is not None or gain is None:
            return None
        made.measured = gain
        self.agreement.add(made.expected, gain)
        return made

    @property
    def made(self) -> list[Promise]:
        """The promises, oldest first."""
        return list(self._made.values())
