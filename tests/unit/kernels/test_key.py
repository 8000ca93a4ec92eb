import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind
from esper.kernels import key as keys
from esper.kernels.key import digest, environment, key_of, source_digest
from tests.unit.kernels.builders import make_request, make_spec, recipe_of


def plain_build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    """A build whose source can be had, and that depends on nothing else."""
    return nn.Linear(in_shape[-1], out_shape[-1])


def with_default(kind: Any, in_shape: Any, out_shape: Any, width: int = 3) -> nn.Module:
    return nn.Linear(in_shape[-1], width)


class Builder:
    def __call__(self, *_: Any) -> nn.Module:
        return nn.Identity()


def test_requests_that_differ_in_weights_or_place_alone_share_a_key() -> None:
    one = make_request("mlp", weights=1)
    assert key_of(one) == key_of(make_request("mlp", weights=2, slot="other", seed=3))


def test_whatever_changes_a_verdict_changes_the_key() -> None:
    spec = make_spec()
    plain = make_request("mlp")
    others = [
        make_request("affine"),
        make_request(dataclasses.replace(plain.recipe, version="2")),
        make_request("mlp", make_spec(placement=Placement.PARALLEL)),
        make_request("mlp", make_spec(SlotKind.SEQUENCE)),
        make_request("mlp", dataclasses.replace(spec, in_shape=(5,))),
        make_request("mlp", dataclasses.replace(spec, out_shape=(5,))),
        make_request("mlp", dtype=torch.float64),
        make_request("mlp", drawn_as=torch.float64),
        make_request("mlp", device=torch.device("meta")),
        make_request(recipe_of(plain_build)),
    ]
    found = [key_of(request) for request in (plain, *others)]
    assert None not in found
    assert len({digest(key) for key in found if key is not None}) == 1 + len(others)


@pytest.mark.parametrize("name", ["esper", "torch", "python", "code", "capability", "format"])
def test_another_version_or_machine_has_another_key(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = key_of(make_request("mlp"))
    monkeypatch.setattr(keys, "environment", lambda: {**environment(), name: "another"})
    after = key_of(make_request("mlp"))
    assert before is not None
    assert after is not None
    assert [each for each in before if before[each] != after[each]] == [name]


def test_a_users_blueprint_is_known_by_its_source() -> None:
    source = source_digest(recipe_of(plain_build))
    assert source is not None
    assert len(source) == 64
    key = key_of(make_request(recipe_of(plain_build)))
    assert key is not None
    assert key["source"] == source


def closing_over(module: nn.Module) -> Any:
    return lambda *_: module


@pytest.mark.parametrize("build", [with_default, Builder(), closing_over(nn.Identity())])
def test_a_build_that_depends_on_more_than_its_source_has_no_key(build: Any) -> None:
    assert key_of(make_request(recipe_of(build))) is None


def test_a_build_without_a_source_file_has_no_key() -> None:
    scope: dict[str, Any] = {"__name__": "typed_at_a_prompt"}
    exec("def build(kind, in_shape, out_shape): return None", scope)
    assert source_digest(recipe_of(scope["build"])) is None


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
