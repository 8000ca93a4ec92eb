"""Results of injected faults: counts, and every problem."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Outcome:
    """One run, or a run and its resumptions, with faults in it.

    faults: number of injected faults.
    due: number of faults that need a recovery; a slow kernel, for example, does not.
    reported: number of recoveries in the run's events.
    is_lost: whether the run neither finished nor could be resumed to its end.
    is_wrong: whether its results are wrong.
    problems: descriptions of all problems.
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
        """Note all problems; the results are wrong if there are any."""
        noted = list(problems)
        self.is_wrong = self.is_wrong or bool(noted)
        self.problems += noted


def table(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """Return the counts of each kind, and of all kinds together.

    `recovered` counts the faults of runs that are neither lost nor wrong.
    """
    listed = list(outcomes)
    kinds = list(dict.fromkeys(outcome.kind for outcome in listed))
    rows = {kind: _row([each for each in listed if each.kind == kind]) for kind in kinds}
    return {**rows, "all": _row(listed)}


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
    """Return every outcome with a problem, as plain values."""
    return [
        asdict(each)
        for each in outcomes
        if each.is_lost or each.is_wrong or each.problems or each.reported != each.due
    ]
