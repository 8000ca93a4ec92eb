"""The catalogue: names, selections, users' own blueprints and those of installed packages."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, Site, sites
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind

DENSE_SERIES = frozenset({(SlotKind.DENSE, Placement.SERIES)})
PLACES: dict[SlotKind, Shape] = {
    SlotKind.DENSE: (16,),
    SlotKind.FEATURE_MAP: (4, 8, 8),
    SlotKind.SEQUENCE: (6, 16),
}


@pytest.fixture(autouse=True)
def _catalogue_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalogue, "_added", {})
    yield
    catalogue._installed.cache_clear()
    catalogue._load.cache_clear()


def build_square(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    return nn.Linear(in_shape[-1], out_shape[-1])


def build_other(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    return nn.Identity()


def make_blueprint(name: str = "square", **changes: object) -> Blueprint:
    facts: dict[str, object] = {
        "name": name,
        "fits_in": DENSE_SERIES,
        "risk": 0.5,
        "build": build_square,
    }
    return Blueprint(**(facts | changes))  # type: ignore[arg-type]


def test_the_table_holds_each_blueprint_under_its_own_name() -> None:
    assert all(name == known.name for name, known in catalogue.BUILT_IN.items())


def test_every_kind_has_the_blueprints_that_are_promised() -> None:
    promised = {
        SlotKind.DENSE: {"affine", "mlp", "lora", "gated_mlp"},
        SlotKind.FEATURE_MAP: {
            "norm", "squeeze_excite", "depthwise", "mlp", "conv", "bottleneck", "convnext",
        },
        SlotKind.SEQUENCE: {"norm", "lora", "mlp", "gated_mlp", "attention"},
    }  # fmt: skip
    for kind, expected in promised.items():
        shape = PLACES[kind]
        offered = set(catalogue.fitting("all", kind, Placement.SERIES, shape, shape))
        assert offered == expected | {"noop", "frozen_random"}


@pytest.mark.parametrize("site", sorted(catalogue.STANDARD), ids=str)
def test_standard_offers_two_to_six_that_all_fit_and_no_control(site: Site) -> None:
    shape = PLACES[site[0]]
    offered = catalogue.fitting("standard", *site, shape, shape)
    assert 2 <= len(offered) <= 6
    assert offered == catalogue.STANDARD[site]
    assert not set(offered) & {"noop", "frozen_random"}


def test_standard_knows_every_kind_and_placement() -> None:
    assert set(catalogue.STANDARD) == sites(SlotKind, Placement)


@pytest.mark.parametrize("site", sorted(catalogue.STANDARD), ids=str)
def test_light_is_cheaper_than_the_best_of_standard(site: Site) -> None:
    shape = PLACES[site[0]]
    offered = catalogue.fitting("light", *site, shape, shape)
    assert offered
    dearest = max(
        catalogue.get(name).cost(site[0], shape, shape).parameters
        for name in catalogue.fitting("standard", *site, shape, shape)
    )
    costs = [catalogue.get(name).cost(site[0], shape, shape) for name in offered]
    assert all(cost.parameters < dearest for cost in costs)


def test_all_begins_with_standard_and_ends_with_the_controls() -> None:
    offered = catalogue.fitting("all", SlotKind.DENSE, Placement.PARALLEL, (64,), (12,))
    assert offered == ("mlp", "gated_mlp", "affine", "lora", "noop", "frozen_random")


def test_names_keep_the_users_order_and_drop_what_does_not_fit() -> None:
    offered = catalogue.fitting(
        ("lora", "conv", "mlp", "lora"), SlotKind.DENSE, Placement.SERIES, (8,), (8,)
    )
    assert offered == ("lora", "mlp")


def test_a_block_that_flattens_fits_nothing() -> None:
    for kind in SlotKind:
        offered = catalogue.fitting("all", kind, Placement.PARALLEL, (1, 8, 8), (10,))
        assert offered == ()


@pytest.mark.parametrize(
    ("kind", "in_shape", "out_shape"),
    [
        (SlotKind.DENSE, (8,), (9,)),
        (SlotKind.FEATURE_MAP, (4, 8, 8), (4, 4, 4)),
        (SlotKind.SEQUENCE, (6, 8), (6, 9)),
    ],
)
def test_nothing_fits_in_series_where_shapes_differ(
    kind: SlotKind, in_shape: Shape, out_shape: Shape
) -> None:
    assert catalogue.fitting("all", kind, Placement.SERIES, in_shape, out_shape) == ()


def test_an_unknown_name_is_told_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown blueprint 'depthwize'; did you mean depthwise"):
        catalogue.get("depthwize")


def test_a_name_near_to_nothing_is_told_all() -> None:
    with pytest.raises(ValueError, match=r"'zzzzz'; known: affine, mlp, lora, .*frozen_random"):
        catalogue.get("zzzzz")


def test_an_unknown_selection_is_told_the_words() -> None:
    with pytest.raises(ValueError, match=r"'heavy' \(allowed: standard, light, all or a list"):
        catalogue.fitting("heavy", SlotKind.DENSE, Placement.SERIES, (8,), (8,))


def test_a_decorated_function_is_in_the_catalogue_and_is_counted() -> None:
    @catalogue.blueprint(name="two_layers", fits_in=DENSE_SERIES, risk=0.3)
    def two_layers(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
        last = nn.Linear(5, out_shape[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Linear(in_shape[-1], 5), last)

    state = torch.random.get_rng_state()
    assert catalogue.get("two_layers") is two_layers
    assert two_layers.risk == 0.3
    cost = two_layers.cost(SlotKind.DENSE, (4,), (4,))
    assert cost.parameters == cost.trainable == 4 * 5 + 5 + 5 * 4 + 4
    assert cost.flops == 2 * (4 * 5 + 5 * 4)
    assert torch.equal(torch.random.get_rng_state(), state)
    offered = catalogue.fitting("all", SlotKind.DENSE, Placement.SERIES, (4,), (4,))
    assert offered[-1] == "two_layers"
    assert "two_layers" not in catalogue.fitting(
        "all", SlotKind.DENSE, Placement.PARALLEL, (4,), (4,)
    )


def test_a_rule_of_shapes_is_obeyed() -> None:
    catalogue.register(make_blueprint(shape_rule=lambda kind, before, after: before[0] % 2 == 0))
    site = (SlotKind.DENSE, Placement.SERIES)
    assert catalogue.fitting(("square",), *site, (4,), (4,)) == ("square",)
    assert catalogue.fitting(("square",), *site, (5,), (5,)) == ()


def test_a_taken_name_is_refused() -> None:
    catalogue.register(make_blueprint())
    with pytest.raises(ValueError, match=r"blueprint 'square' exists already, built by .*square"):
        catalogue.register(make_blueprint(build=build_other))
    with pytest.raises(ValueError, match="blueprint 'mlp' exists already"):
        catalogue.register(make_blueprint("mlp"))


def test_one_that_was_added_can_be_taken_out_again() -> None:
    catalogue.register(make_blueprint())
    catalogue.unregister("square")
    assert "square" not in catalogue.names()
    for name in ("square", "mlp"):
        with pytest.raises(ValueError, match=f"no blueprint '{name}' was registered"):
            catalogue.unregister(name)


def test_the_same_definition_run_again_takes_the_place_of_the_former() -> None:
    catalogue.register(make_blueprint(risk=0.1))
    catalogue.register(make_blueprint(risk=0.2))
    assert catalogue.get("square").risk == 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"risk": 1.5}, r"blueprint 'square': risk must be in \[0, 1\], got 1.5"),
        ({"risk": float("nan")}, r"risk must be in \[0, 1\], got nan"),
        ({"name": "Two words"}, r"got 'Two words'"),
        ({"fits_in": frozenset()}, "fits_in must name a kind and a placement"),
    ],
)
def test_a_wrong_fact_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_blueprint(**changes)  # type: ignore[arg-type]


PLUGIN = """
from esper.blueprint.catalogue import blueprint
from esper.contracts.slot import Placement, SlotKind
from torch import nn

@blueprint(name="plugged", fits_in={(SlotKind.DENSE, Placement.SERIES)})
def plugged(kind, in_shape, out_shape):
    return nn.Linear(in_shape[-1], out_shape[-1])

not_one = 3
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    """Install a package, as pip would, with these lines of entry points."""
    (folder / "plugged_package.py").write_text(PLUGIN)
    facts = folder / "plugged_package-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged-package\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[esper.blueprints]\n" + "\n".join(entries) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "plugged_package", raising=False)
    catalogue._installed.cache_clear()


def test_an_installed_package_offers_a_blueprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "plugged = plugged_package:plugged")
    assert "plugged" in catalogue.names()
    assert "plugged_package" not in sys.modules
    assert catalogue.get("plugged").cost(SlotKind.DENSE, (3,), (3,)).parameters == 12
    assert catalogue.names().count("plugged") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plugged = plugged_package:absent", "cannot be loaded: .*absent"),
        ("plugged = absent_package:plugged", "cannot be loaded: .*absent_package"),
        ("plugged = plugged_package:not_one", "must be a Blueprint named 'plugged', got 3"),
        ("other = plugged_package:plugged", "must be a Blueprint named 'other'"),
    ],
)
def test_a_broken_entry_point_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    install(tmp_path, monkeypatch, line)
    with pytest.raises(ValueError, match=message):
        catalogue.get(line.split(maxsplit=1)[0])


def test_an_entry_point_cannot_take_a_built_in_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "mlp = plugged_package:plugged")
    with pytest.raises(ValueError, match=r"entry point 'mlp' .*exists already"):
        catalogue.names()


def test_choosing_blueprints_needs_no_torch() -> None:
    code = (
        "import sys; from esper.blueprint import catalogue as c;"
        "from esper.contracts.slot import Placement as P, SlotKind as K;"
        "c.fitting('all', K.FEATURE_MAP, P.PARALLEL, (1, 8, 8), (4, 4, 4));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
