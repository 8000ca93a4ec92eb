"""Small pieces of HTML; every text from a run is escaped here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from esper.logger.format import UNKNOWN
from esper.report.style import CSS


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; numbers stand to the right, names are not broken."""

    title: str
    kind: str = ""


def columns(*titles: str) -> tuple[Column, ...]:
    """Return columns from titles; `#` before one makes it a number, `@` a name."""
    kinds = {"#": "number", "@": "name"}
    return tuple(
        Column(title=title.lstrip("#@"), kind=kinds.get(title[:1], "")) for title in titles
    )


def table(head: Sequence[Column], rows: Iterable[Sequence[Any]], empty: str) -> str:
    """Return a table, or the words `empty` where there is no row."""
    body = "".join(f"<tr>{_cells('td', head, row)}</tr>" for row in rows)
    if not body:
        return f'<p class="dim">{escape(empty)}</p>'
    top = _cells("th", head, [column.title for column in head])
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cells(tag: str, head: Sequence[Column], row: Sequence[Any]) -> str:
    return "".join(
        f'<{tag} class="{column.kind}">{text(cell)}</{tag}>'
        for column, cell in zip(head, row, strict=True)
    )


def text(value: Any) -> str:
    """Return `value` escaped; a dash where it is unknown."""
    return "&ndash;" if value in (None, "", UNKNOWN) else escape(str(value))


def cards(pairs: Iterable[tuple[str, str]]) -> str:
    """Return figures with their names beneath, side by side."""
    found = "".join(
        f'<div class="card"><b>{text(value)}</b><span>{text(name)}</span></div>'
        for name, value in pairs
    )
    return f'<div class="cards">{found}</div>'


def section(title: str, *parts: str) -> str:
    """Return a titled part of the page."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def figure(svg: str) -> str:
    """Return a figure that scales with the page."""
    return f"<figure>{svg}</figure>"


def folded(title: str, content: str) -> str:
    """Return content that a click unfolds."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def page(title: str, *parts: str) -> str:
    """Return the whole page: nothing in it is loaded from anywhere."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
