"""Mistakes of users, and the words that each error line must contain."""

from dataclasses import dataclass

NETWORKS = """
import torch
from torch import nn


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(64, 10))

    def forward(self, x):
        return x.flatten(1) @ self.weight


def raises():
    return {}["hidden_size"]


def nothing():
    return None


def wrong_input():
    return nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 10))


def few_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4))
"""

FILES = {
    "networks.py": NETWORKS.encode(),
    "typo.py": b"def build(:\n",
    "empty.txt": b"",
    "binary.txt": bytes(range(256)) * 20,
    "taken": b"a file of another program",
}
"""Files in the working directory of every command."""

TEXT = "data=text model=transformer"
CUSTOM = "model=custom model.factory=networks"


@dataclass(frozen=True)
class Refusal:
    """A refused command, and the words of its error line.

    is_early: whether it is refused before the folder of the run exists.
    """

    overrides: str
    words: tuple[str, ...]
    is_early: bool = False


REFUSALS: dict[str, Refusal] = {
    # errors of the configuration alone
    "option": Refusal("strategy=thomson", ("strategy=thomson", "thompson?", "allowed: "), True),
    "later option": Refusal("data=cifar1O", ("did you mean cifar10?", "allowed: cifar10"), True),
    "key": Refusal("training.learning_rate=1", ("training.learning_rate", "optimizer, lr"), True),
    "type": Refusal("epochs=ten", ("epochs must be a whole number >= 1, or auto", "got ten"), True),
    "range": Refusal("data.batch_size=0", ("data.batch_size must be >= 1", "got 0"), True),
    "nan": Refusal("training.lr=nan", ("training.lr must be > 0", "got nan"), True),
    "word": Refusal(
        "growth.ramp=sine", ("growth.ramp must be one of linear, cosine, sigmoid", "'sine'"), True
    ),
    "combination": Refusal(
        "viability.max_concurrent_seeds=5", ("<= model.num_seeds (4)", "got 5"), True
    ),
    "blueprint name": Refusal(
        "blueprint.names=[conv3]", ("blueprint.names", "'conv3'", "did you mean conv"), True
    ),
    # slots and blueprints
    "slot path": Refusal(
        "model.slots=[blok1]", ("model.slots", "'blok1'", "near matches: block1, block2")
    ),
    "slot kind": Refusal(f"{TEXT} model.slots=[embedding.position]", ("model.slots", "position")),
    "no slot": Refusal(f"{CUSTOM}:Bare", ("model.slots=auto", "no slot", "Bare", "wanted: ")),
    "blueprint": Refusal(
        f"{TEXT} blueprint.names=[conv]",
        ("blueprint.names=[conv] does not fit", "what does: mlp, gated_mlp, lora"),
    ),
    # data
    "model of other data": Refusal(
        "data=text model=mlp", ("model=mlp", "tokens", "models that do: transformer, custom")
    ),
    "no file": Refusal(f"{TEXT} data.path=no.txt", ("data.path 'no.txt'", "No such file")),
    "folder": Refusal(f"{TEXT} data.path=.", ("data.path '.'", "Is a directory")),
    "empty file": Refusal(
        f"{TEXT} data.path=empty.txt", ("data.path 'empty.txt'", "0 characters", "needs 65")
    ),
    "binary file": Refusal(
        f"{TEXT} data.path=binary.txt", ("data.path 'binary.txt'", "not UTF-8 text")
    ),
    "little to decide by": Refusal(
        f"{TEXT} data.max_windows=3", ("1 sample to decide by", "at least 2", "val_fraction=0.1")
    ),
    "no class left": Refusal(
        "data.val_fraction=0.0001", ("data.val_fraction=0.0001", "do not reach all three parts")
    ),
    # custom networks
    "no factory": Refusal("model=custom", ("model.factory=package.module:function", "got none")),
    "no module": Refusal(
        "model=custom model.factory=nowhere:f", ("model.factory 'nowhere:f'", "no module named")
    ),
    "no function": Refusal(f"{CUSTOM}:nope", ("model.factory 'networks:nope'", "no attribute")),
    "typo": Refusal(
        "model=custom model.factory=typo:build", ("'typo:build'", "invalid syntax", "line 1")
    ),
    "raising factory": Refusal(f"{CUSTOM}:raises", ("KeyError: 'hidden_size'", "ESPER_DEBUG=1")),
    "no network": Refusal(f"{CUSTOM}:nothing", ("'networks:nothing'", "returned NoneType")),
    "wrong input": Refusal(
        f"{CUSTOM}:wrong_input", ("does not take a batch of shape (4, 1, 8, 8)", "cannot be multi")
    ),
    "few classes": Refusal(
        f"{CUSTOM}:few_classes", ("scores of shape (4, 10)", "a number for each class", "(4, 4)")
    ),
    # the machine
    "device": Refusal("device=cuda:99", ("device=cuda:99 is not available here", "auto, cpu")),
    "store of others": Refusal(
        "store=sqlite store.path=taken", ("store.path 'taken'", "not a database")
    ),
    "store that is away": Refusal(
        "store=redis store.url=redis://:secret@127.0.0.1:1/0",
        ("store.url redis://:***@127.0.0.1:1/0 cannot be used", "refused", "redis-server"),
    ),
    "run under a file": Refusal("hydra.run.dir=taken/run", ("Not a directory", "taken"), True),
    "run in no disk": Refusal("hydra.run.dir=/proc/esper", ("No such file", "/proc/esper"), True),
    "nobody logged in": Refusal(
        "logger=wandb logger.mode=online", ("logger.mode is online", "`wandb login`")
    ),
}
