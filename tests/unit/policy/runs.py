"""Steps of a real run of a policy that probes, and its state as a checkpoint gives it back."""

import json
from typing import Any

from esper.checkpoint.tree import join, split
from esper.grower.grower import Grower
from tests.unit.scripted import losses, losses_and_hits, train


def steps(grower: Grower, num: int) -> None:
    for _ in range(num):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, probe=losses)


def split_and_joined(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as a checkpoint gives it back; the network that goes on keeps its own."""
    plain, tensors = split(state)
    return join(json.loads(json.dumps(plain)), {key: each.clone() for key, each in tensors.items()})
