"""What the tree promises: short files with one job, and one place for each option."""

import ast
from pathlib import Path

import pytest

from esper.options import OPTIONS

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "esper").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "conf" / "experiment").rglob("*.yaml"))
# `training` has one option, `default`: its class is `Training` in `training/options.py`.
BEHAVIOUR = ("data", "model", "strategy", "orchestrator", "policy", "reward", "store", "logger")
CLASS_NAMES = {("logger", "none"): "nologger"}
LONGEST = 300


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_file_is_short() -> None:
    paths = [*SOURCES, *TESTS]
    assert len(paths) > 400
    lengths = {relative(path): len(path.read_text("utf-8").splitlines()) for path in paths}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False)
    return (docstring or "").partition("\n")[0].strip()


def test_every_file_says_its_job() -> None:
    assert [relative(path) for path in SOURCES if not first_line(path)] == []


@pytest.mark.parametrize("group", OPTIONS)
def test_configuration_files_and_the_table_offer_the_same_options(group: str) -> None:
    files = {path.stem for path in (ROOT / "conf" / group).iterdir()}
    assert files == set(OPTIONS[group])


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*/*.yaml")), ids=relative)
def test_an_option_file_starts_from_its_schema(path: Path) -> None:
    group = path.parent.name
    if group == "experiment":
        pytest.skip("an experiment sets options of other groups")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1:4] == ["defaults:", f"  - {path.stem}_schema", "  - _self_"]


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in BEHAVIOUR for name in OPTIONS[group]]
)
def test_an_option_has_a_module_and_a_test_of_its_name(group: str, name: str) -> None:
    option = OPTIONS[group][name]
    assert option.__module__ == f"esper.{group}.{name}"
    assert option.__name__.lower() == CLASS_NAMES.get((group, name), name.replace("_", ""))
    assert (ROOT / "tests" / "unit" / group / f"test_{name}.py").is_file()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=relative)
def test_an_experiment_starts_with_its_command_and_its_claim(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    name = path.relative_to(ROOT / "conf" / "experiment").with_suffix("").as_posix()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith("# esper train")
    assert f"experiment={name}" in lines[1].split()
    assert lines[2].startswith("# Claim: ")
