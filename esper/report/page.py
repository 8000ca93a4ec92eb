"""The page of one run: result, figures, what grew, decisions, rewards, ledger, config."""

from html import escape
from typing import Any

import yaml

from esper.logger.format import count, decimal, magnitude, percent, signed_percent
from esper.report import html
from esper.report.history import ledger, place, verdicts
from esper.rundir.records import Run


def run_page(run: Run, svgs: list[str]) -> str:
    """Return one self-contained HTML page; `svgs` are its figures, in order."""
    return html.page(
        f"Esper: {run.name}",
        _head(run),
        html.cards(_cards(run)),
        html.section("What grew", _grown(run)),
        html.section("Course", *(html.figure(svg) for svg in svgs)),
        html.section("Decisions", _decisions(run)),
        html.section("Rewards", _rewards(run)),
        html.section("Ledger", _ledger(run)),
        html.section("Details", _moves(run), _summary(run), _config(run)),
    )


def _head(run: Run) -> str:
    summary = run.summary or {}
    status = summary.get("status") or "unfinished"
    made = [summary.get(key) for key in ("policy", "orchestrator", "strategy")]
    words = [f"{status}, {run.last_epoch} epochs", " / ".join(filter(None, made))]
    if summary.get("rng_seed") is not None:
        words.append(f"rng_seed {summary['rng_seed']}")
    return (
        f"<h1>{escape(run.name)}</h1><p>{escape(', '.join(filter(None, words)))}</p>"
        f'<p class="dim path">{escape(str(run.path))}</p>'
    )


def _cards(run: Run) -> list[tuple[str, str]]:
    summary = run.summary or {}
    if not summary:
        last = run.metrics[-1] if run.metrics else {}
        return [
            ("validation accuracy", percent(last.get("val_accuracy"))),
            ("validation loss", decimal(last.get("val_loss"), 4)),
            ("parameters", count(last.get("params"))),
            ("live seeds", count(last.get("live_seeds"))),
        ]
    kept, tried = summary.get("seeds_fossilized"), summary.get("seeds_germinated")
    first, last_size = summary.get("params_initial"), summary.get("params_final")
    best, before = summary.get("best_val_accuracy"), summary.get("best_before_growth")
    return [
        ("test accuracy", percent(summary.get("test_accuracy"))),
        ("test loss", decimal(summary.get("test_loss"), 4)),
        ("best validation accuracy", percent(best)),
        ("best before growth", percent(before)),
        ("parameters", f"{count(first)} → {count(last_size)}"),
        ("kernels kept of those tried", f"{count(kept)} of {count(tried)}"),
        ("FLOPs of training, trials included", magnitude(summary.get("train_flops"))),
        ("wall time", f"{decimal(summary.get('wall_s'), 1)} s"),
        ("time for control", percent(summary.get("control_fraction"))),
    ]


def _grown(run: Run) -> str:
    grown = (run.summary or {}).get("grown")
    if grown is None:
        moves = run.of_kind("lifecycle")
        grown = [move for move in moves if move["to_stage"] == "FOSSILIZED"]
    return html.table(
        html.columns("@slot", "#seed", "@blueprint", "#parameters", "#gain"),
        [
            (
                place(seed["slot"]),
                seed["seed"],
                seed["blueprint"],
                count(seed.get("parameters")),
                signed_percent(seed.get("gain")),
            )
            for seed in grown
        ],
        "Nothing was kept for good.",
    )


def _decisions(run: Run) -> str:
    found = verdicts(run)
    waits = sum(event["decision_kind"] == "wait" for event in run.of_kind("decision"))
    rows = html.table(
        html.columns("#epoch", "@decision", "@where", "reason"),
        [(verdict.epoch, verdict.what, verdict.where, verdict.reason) for verdict in found],
        "Nothing was decided but to wait.",
    )
    return f'{rows}<p class="dim">Decisions to wait, not listed: {waits}.</p>'


def _rewards(run: Run) -> str:
    return html.table(
        html.columns(
            "#epoch", "@seed", "@blueprint", "@verdict", "#gain", "#reward", "explanation"
        ),
        [_reward(event) for event in run.of_kind("reward")],
        "No activation was settled.",
    )


def _reward(event: dict[str, Any]) -> tuple[Any, ...]:
    outcome, reward = event["outcome"], event["reward"]
    gain = signed_percent(outcome.get("gain"))
    if outcome.get("gain_error") is not None:
        gain += f" ± {100 * outcome['gain_error']:.1f}"
    return (
        event["epoch"],
        place(outcome["slot"], outcome["seed"]),
        outcome["blueprint"],
        "kept" if outcome.get("fossilized") else "culled",
        gain,
        decimal(reward.get("total")),
        reward.get("explanation"),
    )


def _ledger(run: Run) -> str:
    return html.table(
        html.columns("@seed", "@blueprint", "#trials", "#mean reward", "#last reward"),
        [
            (
                place(record["slot"], record["seed"]),
                record["blueprint"],
                record["trials"],
                decimal(record["mean_reward"]),
                decimal(record["reward"]),
            )
            for record in ledger(run)
        ],
        "The ledger is empty.",
    )


def _moves(run: Run) -> str:
    moves = run.of_kind("lifecycle")
    rows = html.table(
        html.columns("#epoch", "@seed", "@blueprint", "@move", "reason"),
        [
            (
                move["epoch"],
                place(move["slot"], move["seed"]),
                move["blueprint"],
                f"{move['from_stage']} → {move['to_stage']}",
                move.get("reason"),
            )
            for move in moves
        ],
        "No seed left DORMANT.",
    )
    return html.folded(f"Every move of every seed ({len(moves)})", rows)


def _summary(run: Run) -> str:
    dumped = yaml.safe_dump(run.summary or {}, sort_keys=False, allow_unicode=True)
    return html.folded("summary.json", f"<pre>{escape(dumped)}</pre>")


def _config(run: Run) -> str:
    dumped = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
    return html.folded("Config", f"<pre>{escape(dumped)}</pre>")
