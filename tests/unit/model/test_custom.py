"""A user's own network: imported, called and checked, with one line for each way it can fail."""

import sys
from pathlib import Path

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.contracts.errors import ConfigError
from esper.model.custom import Custom

SPEC = DataSpec(kind=InputKind.VECTOR, input_shape=(2,), num_classes=3)
SOURCE = """
from torch import nn

class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, 3)

class Tools:
    @staticmethod
    def build():
        return nn.Linear(4, 4)

def plain():
    return nn.Linear(2, 3)

def sized(data):
    return nn.Linear(data.input_shape[0], data.num_classes)

def optional(width=5):
    return nn.Linear(2, width)

def optional_spec(width=5, *, spec=None):
    return nn.Linear(2, spec.num_classes + width)

def second(width=5, spec=None):
    return nn.Linear(2, spec.num_classes + width)

def keyword(*, data):
    return nn.Linear(2, data.num_classes)

def wide(spec, width=4):
    return nn.Linear(width, spec.num_classes)

def needs_width(width):
    return nn.Linear(2, width)

def greedy(a, b):
    return nn.Linear(2, 3)

def nothing():
    return None

number = 3
"""


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with the user's modules; the import path is restored."""
    (tmp_path / "users_net.py").write_text(SOURCE)
    (tmp_path / "users_broken.py").write_text("def net(:\n")
    (tmp_path / "users_needy.py").write_text("import users_absent_library\n")
    (tmp_path / "users_wrong.py").write_text("from torch import users_wish\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("users_net", "users_broken", "users_needy", "users_wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("user_folder")
@pytest.mark.parametrize(
    ("factory", "out_features"),
    [
        ("plain", 3),
        ("Net", 3),
        ("Tools.build", 4),
        ("sized", 3),
        ("optional", 5),
        ("optional_spec", 8),
        ("second", 8),
        ("keyword", 3),
    ],
)
def test_a_factory_in_the_working_directory_is_called(factory: str, out_features: int) -> None:
    host = Custom(factory=f"users_net:{factory}").build(SPEC)
    assert isinstance(host, torch.nn.Linear)
    assert host.out_features == out_features


@pytest.mark.usefixtures("user_folder")
@pytest.mark.parametrize(
    ("factory", "text"),
    [
        ("users_nowhere:net", r"no module named 'users_nowhere' \(looked in .* too\)"),
        ("users_net.sub:net", r"no module named 'users_net.sub'"),
        ("users_net:absent", "'users_net' has no attribute 'absent'"),
        ("users_net:number", "is of type int, not a function or class"),
        ("users_net:nothing", r"returned NoneType, not a torch\.nn\.Module"),
        ("users_net:greedy", "must need one argument at most, the data's spec, needs a, b"),
        ("users_broken:net", r"its module cannot be imported \(.*users_broken\.py, line 1"),
        ("users_needy:net", "its module needs 'users_absent_library', which is not installed"),
        ("users_wrong:net", "its module cannot be imported .*users_wish"),
    ],
)
def test_each_failure_is_one_line_that_names_the_factory(factory: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        Custom(factory=factory).build(SPEC)
    assert str(caught.value).startswith(f"model.factory '{factory}': ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("user_folder")
def test_a_factory_that_takes_a_width_can_be_widened() -> None:
    host = Custom(factory="users_net:wide")
    sizes = [each.build(SPEC).in_features for each in (host, host.wider(), host.wider().wider())]
    assert sizes == [4, 8, 16]
    assert Custom(factory="users_net:needs_width", width=3).wider().build(SPEC).out_features == 6
    for name in ("plain", "needs_width"):
        with pytest.raises(ConfigError, match="cannot be widened: it needs an argument `width`"):
            Custom(factory=f"users_net:{name}").wider()
    with pytest.raises(ConfigError, match=r"takes no width, model\.width is 3"):
        Custom(factory="users_net:plain", width=3).build(SPEC)


def test_no_factory_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs model\.factory=package\.module:function"):
        Custom().build(SPEC)


@pytest.mark.parametrize("factory", ["net", "a:b:c", ":net", "a:", "a-b:c", "a/b.py:net", " "])
def test_a_malformed_factory_is_refused_at_once(factory: str) -> None:
    with pytest.raises(ValueError, match=r"of the form package\.module:function"):
        Custom(factory=factory)


@pytest.mark.usefixtures("user_folder")
def test_what_a_factory_raises_itself_is_not_hidden(user_folder: Path) -> None:
    (user_folder / "users_net.py").write_text("def net():\n    raise KeyError('mine')\n")
    with pytest.raises(KeyError, match="mine"):
        Custom(factory="users_net:net").build(SPEC)
