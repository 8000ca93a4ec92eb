"""Pieces of the HTML page; they escape every text that comes from a run."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import yaml

from esper.logger.format import UNKNOWN
from esper.report.style import CSS

_CLASSES = {"#": "number", "@": "name"}


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> str:
    """Return a table, or the text `empty` if there is no row.

    Args:
        head: titles; `#` before one marks a column of numbers, `@` one of names, which do not wrap.
        rows: cells in the order of `head`.
        empty: text instead of a table without rows.
    """
    classes = [_CLASSES.get(title[0], "") for title in head]
    body = "".join(f"<tr>{_cells('td', classes, row)}</tr>" for row in rows)
    if not body:
        return f'<p class="dim">{escape(empty)}</p>'
    top = _cells("th", classes, [title.lstrip("#@") for title in head])
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cells(tag: str, classes: Sequence[str], row: Sequence[Any]) -> str:
    return "".join(
        f'<{tag} class="{name}">{text(cell)}</{tag}>'
        for name, cell in zip(classes, row, strict=True)
    )


def text(value: Any) -> str:
    """Return `value` escaped; a dash if it is unknown."""
    return "&ndash;" if value in (None, "", UNKNOWN) else escape(str(value))


def cards(pairs: Iterable[tuple[str, str]]) -> str:
    """Return (name, value) pairs side by side, each value above its name."""
    parts = "".join(
        f'<div class="card"><b>{text(value)}</b><span>{text(name)}</span></div>'
        for name, value in pairs
    )
    return f'<div class="cards">{parts}</div>'


def section(title: str, *parts: str) -> str:
    """Return a titled part of the page."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def figure(svg: str) -> str:
    """Return a figure that scales with the page."""
    return f"<figure>{svg}</figure>"


def folded(title: str, content: str) -> str:
    """Return content that a click unfolds."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def values(given: Mapping[str, Any]) -> str:
    """Return plain values as YAML."""
    words = yaml.safe_dump(dict(given), sort_keys=False, allow_unicode=True)
    return f"<pre>{escape(words)}</pre>"


def page(title: str, *parts: str) -> str:
    """Return the whole page, which loads nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
