"""What a person should hear of at once, while a run goes on without them."""

from dataclasses import dataclass

from esper.contracts.event import Event, GovernorAction, Recovery
from esper.logger.format import place, plural

_LONGEST_TITLE = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A message.

    title: at most 63 characters, different for each cause, because repeated titles may be dropped.
    level: `WARN` if the run goes on as before, `ERROR` if it goes on without growth or stops.
    """

    title: str
    text: str
    level: str


def alert_of(event: Event) -> Alert | None:
    """Return the alert on a rollback, a quarantine or an escalation; None for other events."""
    match event.body:
        case GovernorAction(action="rollback") as action:
            title = f"Rolled back to epoch {action.restored_epoch} after epoch {event.epoch}"
            culled = f", {plural(action.culled, 'open kernel')} culled" if action.culled else ""
            return _alert("WARN", title, f"{action.reason}{culled}")
        case GovernorAction(action="end_growth") as action:
            rollbacks = plural(action.rollbacks, "rollback")
            title = f"Growth switched off after epoch {event.epoch}"
            return _alert("ERROR", title, f"{rollbacks}, the last because {action.reason}")
        case Recovery(strategy="quarantine") as recovery:
            where = "" if recovery.slot is None else f", last {place(recovery.slot, recovery.seed)}"
            title = f"Quarantine: {recovery.blueprint}"
            return _alert("WARN", title, f"{recovery.message}{where}: {recovery.error}")
        case Recovery(strategy="escalate") as recovery:
            return _alert("ERROR", f"Run stopped after epoch {event.epoch}", recovery.message)
        case _:
            return None


def _alert(level: str, title: str, text: str) -> Alert:
    return Alert(title=title[:_LONGEST_TITLE], text=text, level=level)
