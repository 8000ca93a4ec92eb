"""The files of a network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from esper.contracts.errors import ConfigError
from esper.learning.options import NetShape
from esper.learning.situation import collate
from esper.policy.networks.net_file import LearnedNet, NetConfig, load_net
from tests.unit.learning.situations import make_situation
from tests.unit.policy.networks.test_networks import KINDS, SIZES, make_net


def made(kind: str = "gnn", **changes: Any) -> LearnedNet:
    config = NetConfig(kind=kind, sizes=SIZES, shape=NetShape(hidden=8, layers=2, heads=2))
    facts = {"gain_model": "abc", "spreads": (0.1, 0.4)}
    return LearnedNet(config, make_net(kind), **{**facts, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    learned = made(kind)
    learned.save(tmp_path / "a.b", {"command": "x"})
    found = load_net(tmp_path / "a.b", kind, SIZES, "abc")
    assert (found.config, found.spreads, found.digest) == (
        learned.config,
        learned.spreads,
        learned.digest,
    )
    batch = collate([make_situation(0.1, 0.2)])
    assert torch.equal(found.net(batch).ranks, learned.net(batch).ranks)
    assert json.loads((tmp_path / "a.b.json").read_text())["command"] == "x"


def test_other_numbers_have_another_digest() -> None:
    one, two = made(), made()
    assert one.digest == two.digest
    with torch.no_grad():
        next(iter(two.net.parameters())).add_(1e-3)
    assert one.digest != two.digest
    one.check_digest(one.digest)
    with pytest.raises(ConfigError, match=r"policy.pretrained: the network is another one"):
        one.check_digest(two.digest)


@pytest.mark.parametrize(("spread", "rank"), [(0.0, 0.0), (0.2, 0.5), (9.0, 1.0)])
def test_spreads_are_ranked_among_known_ones(spread: float, rank: float) -> None:
    assert made().rank(spread) == rank
    assert made(spreads=()).rank(spread) == 1.0


def test_what_cannot_be_used_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "net"

    def refused(words: str, kind: str = "gnn", sizes: Any = SIZES, model: str = "abc") -> None:
        with pytest.raises(ConfigError) as caught:
            load_net(path, kind, sizes, model)
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused(f"net.json is missing in {tmp_path} (train one: esper train-policy policy=gnn)")
    made().save(path, {})
    with pytest.raises(ConfigError, match=r"no network of policy=actor_critic comes with Esper"):
        load_net("shipped", "actor_critic", SIZES, "abc")
    with pytest.raises(
        ConfigError, match=r"must be null, shipped or files without endings, got ''"
    ):
        load_net("", "gnn", SIZES, "abc")
    refused("is of policy=gnn, not hierarchical", kind="hierarchical")
    refused("reads other features than this version measures", sizes=replace(SIZES, node=4))
    refused("was trained beside another gain model", model="other")
    tensors = dict(made().net.state_dict())
    tensors["enter.weight"] = torch.full_like(tensors["enter.weight"], torch.nan)
    save_file(tensors, path.with_name("net.safetensors"))
    refused("net.safetensors cannot be read: a number of enter.weight is not finite")
    save_file({"other": torch.ones(1)}, path.with_name("net.safetensors"))
    refused("net.safetensors cannot be read: ")
    path.with_name("net.safetensors").write_bytes(b"torn")
    refused("net.safetensors cannot be read: ")
    path.with_name("net.json").write_text("{}")
    refused("net.json has no 'network'")
    path.with_name("net.json").write_text("[]")
    refused("net.json cannot be read: it must hold an object")
    path.with_name("net.safetensors").unlink()
    refused("net.safetensors is missing")
