"""A report is one self-contained page, with its figures beside it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.report.make import report


class Page(HTMLParser):
    """Collects tags that are open, sources that would be loaded, and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.sources += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "data") and value and value[0] != "#"
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> tuple[Page, str]:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page, " ".join(" ".join(page.text).split())


def test_a_run_gets_a_page_and_its_figures(tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    written = report([path])
    assert {file.relative_to(path).as_posix() for file in written} == {
        "report/index.html",
        "report/accuracy.png",
        "report/accuracy.svg",
        "report/seeds.png",
        "report/seeds.svg",
        "report/rewards.png",
        "report/rewards.svg",
    }
    assert all(file.stat().st_size > 1_000 for file in written)


def test_the_page_loads_nothing_and_tells_everything(tmp_path: Path, make_run: Any) -> None:
    page_file, *_ = report([make_run(tmp_path / "run")])
    page, text = read(page_file)
    assert page.sources == []
    assert not re.search(r"url\((?!#)|@import", page_file.read_text(encoding="utf-8"))
    for words in (
        "95.7 %",
        "938 → 5,092",
        "3 of 6",
        "gated_mlp",
        "the train loss fell by 11.2 %",
        "cooldown: slot 'head' rests until 20",
        "Decisions to wait (36)",
        "36 1 to 7, 9 to 16, 18 to 25, 27 to 34, 36 to 40 nothing to do",
        "PROBATIONARY → FOSSILIZED",
        "the highest draw of 4",
        "The ledger knew of no gain to expect",
        "block2 lora 1 -0.055 -0.055",
        "num_seeds: 4",
    ):
        assert words in text


def test_what_users_name_cannot_break_the_page(tmp_path: Path, make_run: Any) -> None:
    path = make_run(tmp_path / "run")
    for name in ("events.jsonl", "metrics.jsonl", "summary.json"):
        text = (path / name).read_text().replace("block1", "<script>$x$&")
        (path / name).write_text(text)
    config = {"name": "<b>bold</b>"}
    (path / "config.json").write_text(json.dumps(config))
    page_file, *_ = report([path])
    _, text = read(page_file)
    assert "<script>$x$& seed 0" in text
    assert "<script>" not in page_file.read_text(encoding="utf-8")
    assert "<b>bold</b>" in text


def test_an_unfinished_run_can_be_reported(tmp_path: Path, make_run: Any) -> None:
    page_file, *_ = report([make_run(tmp_path / "run", epochs=11, finished=False)])
    _, text = read(page_file)
    assert "interrupted, 11 epochs" in text
    assert "block1 0 mlp" in text, "what is fossilized is known from the events"


def test_a_run_without_a_single_line_can_be_reported(tmp_path: Path, make_run: Any) -> None:
    page_file, *_ = report([make_run(tmp_path / "run", epochs=0, finished=False)])
    assert "interrupted, 0 epochs" in read(page_file)[1]


def test_a_sweep_gets_a_page_a_table_and_a_figure(tmp_path: Path, make_sweep: Any) -> None:
    sweep = make_sweep(tmp_path / "digits" / "today")
    written = report([sweep])
    names = {file.relative_to(sweep).as_posix() for file in written}
    assert {"report/index.html", "report/sweep.csv", "report/comparison.png"} <= names
    page, text = read(written[0])
    assert page.sources == []
    assert "7 jobs, 6 of them finished" in text
    assert "strategy=thompson" in text
    assert "strategy=thompson 3 3 96.1 % \N{EN DASH}" in text, "no interval of three jobs"


def test_errors_of_jobs_have_a_table_of_their_own(tmp_path: Path, make_sweep: Any) -> None:
    sweep = make_sweep(tmp_path / "digits" / "today")
    for job in range(7):
        overrides = sweep / str(job) / ".hydra" / "overrides.yaml"
        overrides.write_text(overrides.read_text() + "- training.lr=0.1\n")
    _, text = read(report([sweep])[0])
    assert "Errors" not in text
    assert "In every job: training.lr=0.1." in text
    (sweep / "6" / "summary.json").write_text('{"status": "failed", "error": "it is <broken>"}')
    _, text = read(report([sweep])[0])
    assert "6 failed strategy=fixed" in text
    assert "Errors job error 6 it is <broken>" in text


def test_several_runs_get_a_page_each_and_one_comparison(tmp_path: Path, make_run: Any) -> None:
    first = make_run(tmp_path / "runs" / "a", overrides=("strategy=ucb",))
    second = make_run(tmp_path / "runs" / "b", overrides=("strategy=thompson",), shift=0.01)
    (tmp_path / "runs" / "notes.txt").write_text("a pattern finds files too")
    written = report([first, second, tmp_path / "runs" / "notes.txt"])
    pages = [file for file in written if file.name == "index.html"]
    assert pages == [
        first / "report" / "index.html",
        second / "report" / "index.html",
        tmp_path / "runs" / "report" / "index.html",
    ]
    assert "strategy=thompson" in read(pages[-1])[1]


def test_everything_can_go_into_one_folder(tmp_path: Path, make_run: Any) -> None:
    run = make_run(tmp_path / "run")
    written = report([run], out=tmp_path / "out" / "deep")
    assert {file.parent for file in written} == {tmp_path / "out" / "deep"}
    assert not (run / "report").exists()


def test_what_is_neither_run_nor_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run and no sweep"):
        report([tmp_path])
    with pytest.raises(ValueError, match="at least one run"):
        report([])


def test_two_reports_of_one_name_are_refused(tmp_path: Path, make_run: Any) -> None:
    runs = [make_run(tmp_path / each / "sweep" / "0") for each in ("a", "b")]
    with pytest.raises(DataError, match=r"would both be .*out/sweep-0: write them without --out"):
        report(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
