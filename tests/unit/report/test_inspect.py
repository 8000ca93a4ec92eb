"""The terminal shows seeds, decisions and ledger from the run directory alone."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from esper.contracts.errors import DataError
from esper.report.inspect import inspect


def shown(path: Path, width: int = 120) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(inspect(path))
    return out.getvalue().splitlines()


def letters(lines: list[str]) -> Counter[str]:
    return Counter("".join("".join(lines).split()))


def test_it_shows_seeds_decisions_choices_and_ledger(tmp_path: Path, make_run: Any) -> None:
    lines = shown(make_run(tmp_path / "digits" / "1"))
    assert lines[0].startswith("digits 1  finished, 40 epochs")
    rows = [line.split() for line in lines]
    kept = ["block1", "0", "FOSSILIZED", "10", "mlp", "1.00", "+6.2", "%", "+8.2", "%", "0.56"]
    assert kept in rows
    assert ["block2", "0", "DORMANT", "-", "-", "-", "-", "-", "-"] in rows
    assert any("adapt add neurons  block1" in line for line in lines)
    assert ["block2", "lora", "1", "-0.055", "-0.055"] in rows, "one scale, in [-1, 1]"
    reward = ["13", "block2", "seed", "1", "lora", "culled", "-1.1", "%", "±", "0.4", "-", "0.49"]
    assert [*reward, "-0.055"] in rows
    chosen = "4 block1 mlp (seed 0) 0.710 noop (seed 3) 0.420 the highest draw of 4"
    assert chosen.split() in rows
    assert ["gated_mlp", "1", "1", "0", "0", "-"] in rows
    assert ["block2", "seed", "1", "2", "1", "1", "19"] in rows, "tried twice, once kept"
    refused = "8 adapt refused head cooldown: slot 'head' rests until 20"
    assert any(" ".join(row).startswith(refused) for row in rows)
    assert sum("rests until 20" in line for line in lines) == 1
    assert any(row[-3:] == ["nothing", "to", "do"] for row in rows), "why it waited"
    assert "0 pairs of gains; a correlation needs 3." in lines


def test_a_terminal_of_the_usual_width_breaks_no_word(tmp_path: Path, make_run: Any) -> None:
    run = make_run(tmp_path / "run")
    wide = {" ".join(line.split()) for line in shown(run)}
    narrow = {" ".join(line.split()) for line in shown(run, width=80)}
    for start in ("block1 0 FOSSILIZED", "13 block2 seed 1 lora culled", "block2 lora 1"):
        (row,) = [line for line in wide if line.startswith(start)]
        assert row in narrow


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_loses_nothing(tmp_path: Path, make_run: Any, width: int) -> None:
    run = make_run(tmp_path / "run")
    assert letters(shown(run, width)) == letters(shown(run))


def test_an_unfinished_run_shows_where_it_stands(tmp_path: Path, make_run: Any) -> None:
    lines = shown(make_run(tmp_path / "run", epochs=5, finished=False))
    assert "interrupted, 5 epochs" in lines[0]
    assert f"to continue it: esper train --resume {tmp_path / 'run'}" in " ".join(lines)
    assert any(line.split()[:5] == ["block1", "0", "BLENDING", "5", "mlp"] for line in lines)


def test_names_with_brackets_are_not_taken_for_markup(tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    for name in ("events.jsonl", "metrics.jsonl"):
        (path / name).write_text((path / name).read_text().replace("block1", "a[red].b[/]"))
    assert any(line.startswith("a[red].b[/] ") for line in shown(path))


def test_a_folder_of_runs_lists_them_with_what_to_do_next(tmp_path: Path, make_run: Any) -> None:
    for number in ("0", "1"):
        make_run(tmp_path / "sweep" / number)
    lines = shown(tmp_path / "sweep")
    assert lines[0].endswith("sweep  2 runs")
    (row,) = [line.split() for line in lines if line.startswith("1 ")]
    assert row[:6] == ["1", "finished", "95.7", "%", "3", "6"]
    told = "".join(lines)
    assert f"esper inspect {tmp_path / 'sweep' / '0'}" in told
    assert f"esper report {tmp_path / 'sweep'}" in told


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the folder is empty"):
        inspect(tmp_path)
