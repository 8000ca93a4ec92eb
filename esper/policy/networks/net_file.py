"""Files of a learned policy's network: its numbers, its sizes, and how it came about."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from esper.contracts.errors import ConfigError
from esper.learning.options import NetShape
from esper.policy.learned_rules import SHIPPED
from esper.policy.networks.graph_net import GraphNet, TwoLevelNet
from esper.policy.networks.judge_net import JudgeNet
from esper.policy.networks.shape import InputSizes
from esper.policy.networks.slot_net import SlotNet


@dataclass(frozen=True, kw_only=True)
class NetConfig:
    """What determines a network but its numbers.

    kind: `gnn`, `hierarchical` or `actor_critic`.
    reads_health: whether the network of `actor_critic` does; the others always do.
    dropout: share of hidden numbers that are left out while learning.
    """

    kind: str
    sizes: InputSizes
    shape: NetShape
    dropout: float = 0.0
    blind_from: int = 0
    reads_health: bool = False

    def build(self) -> JudgeNet:
        """Return an untrained network."""
        if self.kind == "actor_critic":
            return SlotNet(
                self.sizes,
                self.shape.hidden,
                self.blind_from,
                self.dropout,
                reads_health=self.reads_health,
            )
        kinds = {"gnn": GraphNet, "hierarchical": TwoLevelNet}
        return kinds[self.kind](self.sizes, self.shape, self.dropout)

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> "NetConfig":
        """Return the configuration that `asdict` gave."""
        given = dict(values)
        sizes, shape = InputSizes.load(given.pop("sizes")), NetShape(**given.pop("shape"))
        return cls(sizes=sizes, shape=shape, **given)


@dataclass(frozen=True, eq=False)
class LearnedNet:
    """A network with what belongs to it.

    gain_model: digest of the gain model that it was trained beside; None if it is untrained.
    spreads: ascending spreads of ranks with dropout in known situations, whose ranks state
        uncertainty; empty if unknown.
    """

    config: NetConfig
    net: JudgeNet
    gain_model: str | None = None
    spreads: tuple[float, ...] = ()

    @property
    def digest(self) -> str:
        """A number in hexadecimal digits that tells networks apart."""
        content = hashlib.sha256(repr(self.config).encode())
        for name, tensor in sorted(self.net.state_dict().items()):
            content.update(name.encode() + np.ascontiguousarray(tensor.numpy()).tobytes())
        return content.hexdigest()[:16]

    def check_digest(self, digest: str) -> None:
        """Raise ConfigError if a digest is that of another network."""
        if digest != self.digest:
            raise ConfigError(
                "policy.pretrained: the network is another one than when the run began; start a "
                "new run"
            )

    def rank(self, spread: float) -> float:
        """Return the share of known spreads that are smaller, in [0, 1]; 1 if none is known."""
        return (
            float(np.searchsorted(self.spreads, spread) / len(self.spreads))
            if self.spreads
            else 1.0
        )

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write `path`.safetensors and `path`.json, which holds `facts` too."""
        from safetensors.torch import save_file

        tensors, values = _files(path)
        save_file({name: t.contiguous() for name, t in self.net.state_dict().items()}, tensors)
        about = {
            "network": asdict(self.config),
            "gain_model": self.gain_model,
            "spreads": list(self.spreads),
            **facts,
        }
        values.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def load_net(
    path: str, kind: str, sizes: InputSizes, gain_model: str, key: str = "policy.pretrained"
) -> LearnedNet:
    """Return the network in the files of a path.

    Args:
        path: the files, without their endings; `shipped` for those that come with Esper.
        kind: of the policy that reads them.
        sizes: of what it is shown now.
        gain_model: digest of the policy's gain model.
        key: that names the files in errors.

    Raises:
        ConfigError: if they cannot be read, or belong to another policy or gain model.
    """
    where = f"{key}: the network {path}"
    hint = f"train one: esper train-policy policy={kind}"
    if not Path(path).name:
        raise ConfigError(f"{key} must be null, shipped or files without endings, got {path!r}")
    with _located(path, kind, key) as found:
        learned = _readable(found, where, hint)
    if learned.config.kind != kind:
        raise ConfigError(f"{where} is of policy={learned.config.kind}, not {kind}")
    if learned.config.sizes != sizes:
        raise ConfigError(f"{where} reads other features than this version measures ({hint})")
    if learned.gain_model not in (None, gain_model):
        raise ConfigError(
            f"{where} was trained beside another gain model: set policy.path to that one, or {key}="
            f"null for an untrained network ({hint})"
        )
    return learned


@contextmanager
def _located(path: str, kind: str, key: str) -> Iterator[Path]:
    """Give the path of files, those of the package for the shipped ones."""
    if path != SHIPPED:
        yield Path(path).expanduser()
        return
    with as_file(files("esper.policy").joinpath("trained")) as folder:
        if not _files(folder / kind)[1].is_file():
            raise ConfigError(
                f"{key}=shipped: no network of policy={kind} comes with Esper: name the files of "
                f"one, or null for an untrained network"
            )
        yield folder / kind


def _readable(path: Path, where: str, hint: str) -> LearnedNet:
    """Return the network in files; raise ConfigError if they cannot be read."""
    tensors, values = _files(path)
    for each in (values, tensors):
        if not each.is_file():
            raise ConfigError(f"{where}: {each.name} is missing in {each.parent} ({hint})")
    reading = values
    try:
        facts = json.loads(values.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("it must hold an object")
        config = NetConfig.load(facts["network"])
        spreads = tuple(sorted(float(each) for each in facts["spreads"]))
        gain_model = facts["gain_model"]
        reading = tensors
        return LearnedNet(config, _net(config, tensors), gain_model, spreads)
    except KeyError as error:
        problem = f"{reading.name} has no {error}"
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = f"{reading.name} cannot be read: {words}"
    raise ConfigError(f"{where}: {problem} ({hint})")


def _net(config: NetConfig, tensors: Path) -> JudgeNet:
    """Return the network of a file of tensors; raise ValueError if it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(tensors)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    for name, each in found.items():
        if not bool(each.isfinite().all()):
            raise ValueError(f"a number of {name} is not finite")
    net = config.build()
    net.load_state_dict(found)
    return net.eval()


def _files(path: Path) -> tuple[Path, Path]:
    """Return the files of the tensors and of the values; a path may have dots in its name."""
    return path.with_name(path.name + ".safetensors"), path.with_name(path.name + ".json")
