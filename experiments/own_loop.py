"""The loop of the README on any task: a user's own training, with a `Grower` step after each epoch.

On digits the model is the README's; elsewhere it is the task's host.  The learning rate is
constant, as there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import esper
from esper.contracts.stage import SeedStage
from esper.data.base import DataSet, Split
from esper.run.task import scores
from esper.training.objective import mean_loss
from experiments.tasks import Place

_BATCH, _LR = 64, 0.01


def own_loop(place: Place, rng_seed: int, **options: Any) -> dict[str, Any]:
    """Train in the loop; return hits and losses of each test sample, and counts of trials.

    `options` are those of `Grower`.
    """
    config = place.config(rng_seed)
    torch.set_num_threads(config.training.threads)
    data = config.data.load()
    torch.manual_seed(rng_seed)
    model = readme_model() if place.task == "digits" else config.model.build(data.spec)
    optimizer = torch.optim.Adam(model.parameters(), lr=_LR)
    grower = esper.Grower(
        model,
        optimizer,
        example_input=data.train.x[:_BATCH],
        epochs=place.epochs,
        rng_seed=rng_seed,
        strategy="thompson",
        **options,
    )
    train, evaluate = _training(data.train), _evaluation(data)
    stages: list[SeedStage] = []
    for _ in range(place.epochs):
        train(model, optimizer)
        report = grower.step(evaluate)
        stages += [move.to_stage for move in report.moves]
    grower.read_out()
    grower.close()
    losses_N, hits_N = scores(model.eval(), data.test)
    return {
        "losses_N": losses_N,
        "hits_N": hits_N,
        "trials": stages.count(SeedStage.GERMINATED),
        "kept": stages.count(SeedStage.FOSSILIZED),
    }


def readme_model() -> nn.Module:
    """Return the model of the README, for images of 64 pixels."""
    blocks = [nn.Sequential(nn.Linear(16, 4), nn.GELU(), nn.Linear(4, 16)) for _ in range(2)]
    first, second = blocks
    layers = [nn.Flatten(), nn.Linear(64, 16), first, nn.GELU(), second, nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(16, 10))


def _training(train: Split) -> Callable[[nn.Module, Optimizer], None]:
    def train_one_epoch(model: nn.Module, optimizer: Optimizer) -> None:
        for rows in torch.split(torch.randperm(len(train)), _BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(mean_loss(model(train.x[rows]), train.y[rows]))
            optimizer.step()

    return train_one_epoch


def _evaluation(data: DataSet) -> Callable[[nn.Module], tuple[Tensor, Tensor]]:
    return lambda model: scores(model, data.val)
