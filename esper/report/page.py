"""The page of one run: result, kept kernels, figures, decisions, choices, rewards, config."""

from html import escape
from typing import Any

from esper.logger.format import count, decimal, magnitude, percent, place, signed_percent
from esper.report import html
from esper.report.choices import (
    BLUEPRINTS,
    LEDGER,
    PROMISES,
    RECORDS,
    REWARDS,
    SELECTIONS,
    blueprint_rows,
    in_words,
    ledger_rows,
    promise_rows,
    promises_of,
    record_rows,
    reward_rows,
    selection_rows,
)
from esper.report.health import HEALTH, health_rows
from esper.report.history import DECISIONS, WAITS, decision_rows, wait_rows
from esper.rundir.records import Run


def run_page(run: Run, svgs: list[str]) -> str:
    """Return one self-contained HTML page; `svgs` are its figures, in order."""
    moves = run.of_kind("lifecycle")
    waits = sum(event["decision_kind"] == "wait" for event in run.of_kind("decision"))
    return html.page(
        f"Esper: {run.name}",
        _head(run),
        html.cards(_cards(run)),
        html.section("What grew", _grown(run)),
        html.section("Course", *(html.figure(svg) for svg in svgs)),
        html.section(
            "Decisions",
            html.table(DECISIONS, decision_rows(run), "Nothing was decided but to wait."),
            html.folded(
                f"Decisions to wait ({waits})",
                html.table(WAITS, wait_rows(run), "No decision was to wait."),
            ),
        ),
        html.section(
            "Selections",
            html.table(SELECTIONS, selection_rows(run), "No seed was to be chosen."),
            _note(
                "The score is the strategy's own and no reward; seeds without one are not ranked "
                "by a number."
            ),
        ),
        html.section("Promises of plans", _promises(run)),
        html.section(
            "Rewards",
            html.table(REWARDS, reward_rows(run), "No activation was settled."),
            _note(
                "Rewards are from -1 to 1. The composite score, from 0 to 1, is what orchestrators "
                "rank the seeds of a slot by."
            ),
        ),
        html.section(
            "Ledger",
            html.table(LEDGER, ledger_rows(run), "The ledger is empty."),
            _note("Rewards of this run, from -1 to 1; ± is the standard error of the mean."),
        ),
        html.section(
            "Records of seeds",
            html.table(RECORDS, record_rows(run), "No activation was settled."),
            _note("Of this run, whatever the blueprints of a seed were; epochs count from 1."),
        ),
        html.section(
            "Health of kernels",
            html.table(HEALTH, health_rows(run), "No kernel was in the network."),
            _note(
                "When each was told of last. Errors are failures a training step, cached is the "
                "share of the slot's kernels whose validation was known already. The score, from 0 "
                "to 1, counts what of both and of the latency is known; a slot has a problem if "
                "its errors alone score below 0.3."
            ),
        ),
        html.section(
            "Blueprints",
            html.table(BLUEPRINTS, blueprint_rows(run), "No blueprint was tried."),
            _note("Kept for good is a graft; failed is a kernel that was not built or raised."),
        ),
        html.section(
            "Details",
            html.folded(f"Every move of every seed ({len(moves)})", _moves(moves)),
            html.folded("summary.json", html.values(run.summary or {})),
            html.folded("Config", html.values(run.config)),
        ),
    )


def _head(run: Run) -> str:
    summary = run.summary or {}
    made = [summary.get(key) for key in ("policy", "orchestrator", "strategy")]
    words = [f"{run.state}, {run.last_epoch} epochs", " / ".join(filter(None, made))]
    if summary.get("rng_seed") is not None:
        words.append(f"rng_seed {summary['rng_seed']}")
    return (
        f"<h1>{escape(run.name)}</h1><p>{escape(', '.join(filter(None, words)))}</p>"
        f'<p class="dim path">{escape(str(run.path))}</p>'
    )


def _cards(run: Run) -> list[tuple[str, str]]:
    if not run.summary:
        last = run.metrics[-1] if run.metrics else {}
        return [
            ("validation accuracy", percent(last.get("val_accuracy"))),
            ("validation loss", decimal(last.get("val_loss"), 4)),
            ("parameters", count(last.get("params"))),
            ("live seeds", count(last.get("live_seeds"))),
        ]
    summary = run.summary
    return [
        ("test accuracy", percent(summary.get("test_accuracy"))),
        ("test loss", decimal(summary.get("test_loss"), 4)),
        ("best validation accuracy", percent(summary.get("best_val_accuracy"))),
        (
            "parameters",
            f"{count(summary.get('params_initial'))} → {count(summary.get('params_final'))}",
        ),
        (
            "kernels kept of those tried",
            f"{count(summary.get('seeds_fossilized'))} of {count(summary.get('seeds_germinated'))}",
        ),
        ("FLOPs of training, trials included", magnitude(summary.get("train_flops"))),
        ("wall time", f"{decimal(summary.get('wall_s'), 1)} s"),
        ("time for control", percent(summary.get("control_fraction"))),
    ]


def _grown(run: Run) -> str:
    grown = (run.summary or {}).get("grown")
    if grown is None:
        grown = [move for move in run.of_kind("lifecycle") if move["to_stage"] == "FOSSILIZED"]
    rows = [
        (
            place(seed["slot"]),
            seed["seed"],
            seed["blueprint"],
            count(seed.get("parameters")),
            signed_percent(seed.get("gain")),
        )
        for seed in grown
    ]
    head = ("@slot", "#seed", "@blueprint", "#parameters", "#gain")
    return html.table(head, rows, "Nothing was kept for good.")


def _promises(run: Run) -> str:
    promises = promises_of(run)
    rows = promise_rows(promises)
    note = _note(
        "Expected: what the ledger knows of the blueprint in slots of this kind, with a prior from "
        f"its first-order score. Measured: the settled gain of the seed. {in_words(promises)}"
    )
    return html.table(PROMISES, rows, "The ledger knew of no gain to expect of a plan.") + (
        note if rows else ""
    )


def _note(words: str) -> str:
    return f'<p class="dim">{escape(words)}</p>'


def _moves(moves: list[dict[str, Any]]) -> str:
    rows = [
        (
            move["epoch"],
            place(move["slot"], move["seed"]),
            move["blueprint"],
            f"{move['from_stage']} → {move['to_stage']}",
            move.get("reason"),
        )
        for move in moves
    ]
    head = ("#epoch", "@seed", "@blueprint", "@move", "reason")
    return html.table(head, rows, "No seed left DORMANT.")
