"""Results of injected faults: counts, and every problem."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Outcome:
    """One run, or a run and its resumptions, with faults in it.

    faults: how many the injector counted.
    due: how many of them need a recovery; a slow kernel, or a checkpoint that is not needed, does
        not.
    reported: how many recoveries the run's events report.
    is_lost: whether it neither finished nor could be resumed to its end.
    is_wrong: whether its results differ from what they must be.
    problems: everything that went wrong, in words.
    """

    kind: str
    faults: int = 0
    due: int = 0
    reported: int = 0
    is_lost: bool = False
    is_wrong: bool = False
    problems: list[str] = field(default_factory=list)

    def lose(self, problem: str) -> None:
        """Note that the run is lost."""
        self.is_lost = True
        self.problems.append(problem)

    def expect_none(self, problems: Iterable[str]) -> None:
        """Note every problem, if there is any."""
        noted = list(problems)
        self.is_wrong = self.is_wrong or bool(noted)
        self.problems += noted


def table(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """Return the counts a kind, and those of all kinds together.

    recovered: faults of runs that ended as they must.
    """
    found = list(outcomes)
    kinds = list(dict.fromkeys(outcome.kind for outcome in found))
    rows = {kind: _row([each for each in found if each.kind == kind]) for kind in kinds}
    return {**rows, "all": _row(found)}


def _row(outcomes: list[Outcome]) -> dict[str, Any]:
    fine = [each for each in outcomes if not (each.is_lost or each.is_wrong)]
    return {
        "runs": len(outcomes),
        "faults": sum(each.faults for each in outcomes),
        "recovered": sum(each.faults for each in fine),
        "recoveries_due": sum(each.due for each in outcomes),
        "recoveries_reported": sum(each.reported for each in outcomes),
        "runs_misreported": sum(each.reported != each.due for each in outcomes),
        "lost_runs": sum(each.is_lost for each in outcomes),
        "wrong_results": sum(each.is_wrong for each in outcomes),
    }


def problems(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return every outcome in which something was not as it must be, as plain values."""
    return [
        asdict(each)
        for each in outcomes
        if each.is_lost or each.is_wrong or each.problems or each.reported != each.due
    ]
