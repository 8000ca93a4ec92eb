"""Drive the command with each option set and left at its default; list options without effect.

    python -m experiments.options [--key growth.ramp ...] [--sample SEED]

runs all rows of `table.py`, the named ones, or `SAMPLE` ones drawn with a seed, two processes at a
time.  The exit code is 1 if an option changed nothing.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.options.commands import run_all
from experiments.options.row import Row, values
from experiments.options.table import ROWS

SAMPLE = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the chosen rows; return 1 if an option changed nothing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--key", action="append", help="only this option; may be repeated")
    parser.add_argument("--sample", type=int, help=f"only {SAMPLE} rows, drawn with this seed")
    given = parser.parse_args(arguments)
    return told(chosen(given.key, given.sample))


def told(rows: Sequence[Row]) -> int:
    """Check rows and print those without effect; return 1 if there are any."""
    inert = without_effect(rows)
    for row in inert:
        print(f"{row.other_command[-1]} changes no {row.field}: {row.in_words}")
    print(f"{len(rows) - len(inert)} of {len(rows)} options act")
    return 1 if inert else 0


def chosen(keys: Sequence[str] | None, sample: int | None) -> list[Row]:
    """Return the named rows, those of a sample, or all.

    Raises:
        ValueError: if the table lacks a key.
    """
    rows = ROWS if sample is None else random.Random(sample).sample(ROWS, SAMPLE)
    if keys is None:
        return rows
    missing = set(keys) - {row.key for row in rows}
    if missing:
        raise ValueError(f"no row of {', '.join(sorted(missing))}")
    return [row for row in rows if row.key in keys]


def without_effect(rows: Sequence[Row]) -> list[Row]:
    """Run the commands of rows; return the rows whose field has the same values in both runs."""
    both = [command for row in rows for command in (row.default_command, row.other_command)]
    with tempfile.TemporaryDirectory() as folder:
        runs = run_all(dict.fromkeys(both), Path(folder))
        return [
            row
            for row in rows
            if values(runs[row.default_command], row.field)
            == values(runs[row.other_command], row.field)
        ]


if __name__ == "__main__":
    sys.exit(main())
