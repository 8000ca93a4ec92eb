"""The benchmark of what growing costs: its data, its networks, and the plain run beside it."""

import copy

import pytest
import torch
from torch import nn

from experiments.benchmarks import price
from experiments.benchmarks.price import CLASSES, IMAGES, Loop, network


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price, "NUM_TRAIN", 12)
    monkeypatch.setattr(price, "NUM_VALIDATION", 5)
    monkeypatch.setattr(price, "BATCH", 4)
    monkeypatch.setattr(price, "EPOCHS", 2)


@pytest.mark.parametrize("name", IMAGES)
def test_a_network_fits_the_images_and_names_their_classes(name: str) -> None:
    channels, side = IMAGES[name]
    logits = network(name)(torch.zeros(2, channels, side, side))
    assert logits.shape == (2, CLASSES)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", IMAGES)
def test_data_are_a_function_of_the_seed_and_have_several_classes(name: str) -> None:
    one, same, other = (Loop.of(name, rng_seed) for rng_seed in (0, 0, 1))
    assert one.x.shape == (17, IMAGES[name][0], IMAGES[name][1], IMAGES[name][1])
    assert one.y.shape == (17,)
    assert 0 <= int(one.y.min()) <= int(one.y.max()) < CLASSES
    assert len(set(one.y.tolist())) >= 3
    assert torch.equal(one.x, same.x)
    assert torch.equal(one.y, same.y)
    assert not torch.equal(one.x, other.x)


class Seen(nn.Module):
    """A linear network that remembers which images it was asked about."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.layer, self.loop = nn.Linear(28 * 28, CLASSES), loop
        self.rows: list[list[int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [int((self.loop.x == image).all(dim=(1, 2, 3)).nonzero()) for image in x]
        self.rows.append(rows)
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits


@pytest.mark.usefixtures("tiny")
def test_an_epoch_trains_on_every_training_image_once_in_an_order_of_its_own() -> None:
    loop = Loop.of("mnist", 0)
    model = Seen(loop)
    before = copy.deepcopy(model.layer.state_dict())
    optimizer = torch.optim.Adam(model.layer.parameters())
    orders = []
    for epoch in (0, 0, 1):
        model.rows.clear()
        loop.train(model.eval(), optimizer, epoch)
        assert model.training
        assert [len(rows) for rows in model.rows] == [4, 4, 4]
        orders.append([row for rows in model.rows for row in rows])
        assert sorted(orders[-1]) == list(range(12))
    assert orders[0] == orders[1] != orders[2]
    assert not torch.equal(model.layer.weight, before["weight"])


@pytest.mark.usefixtures("tiny")
def test_the_images_of_an_evaluation_were_never_trained_on() -> None:
    loop = Loop.of("mnist", 0)
    model = Seen(loop)
    losses, hits = loop.evaluate(model)
    assert model.rows == [[12, 13, 14, 15, 16]]
    logits = model.layer(loop.x[12:].flatten(1))
    expected = -logits.log_softmax(dim=1)[range(5), loop.y[12:]]
    assert torch.allclose(losses, expected)
    assert not losses.requires_grad
    assert hits.tolist() == [
        float(a == b) for a, b in zip(logits.argmax(1), loop.y[12:], strict=True)
    ]


class Counted(nn.Module):
    """A network that counts its passes in train and eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.passes = nn.Linear(28 * 28, CLASSES), {True: 0, False: 0}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes[self.training] += 1
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits


@pytest.mark.usefixtures("tiny")
def test_the_plain_run_trains_new_weights_for_as_many_epochs() -> None:
    loop, model = Loop.of("mnist", 0), Counted()
    with torch.no_grad():
        model.layer.weight.fill_(1000.0)
    assert price._plain_s(loop, model) >= 0
    # Two epochs of three batches, and an evaluation after each.
    assert model.passes == {True: 2 * 3, False: 2}
    assert model.layer.weight.abs().max() < 1.0, "the weights of the grown run are gone"


@pytest.mark.usefixtures("tiny")
def test_a_grown_run_is_compared_with_its_final_network(monkeypatch: pytest.MonkeyPatch) -> None:
    plain: list[nn.Module] = []

    def remembered(loop: Loop, model: nn.Module) -> float:
        plain.append(model)
        return 1.0

    monkeypatch.setattr(price, "_plain_s", remembered)
    seconds, flops, trials, kept = price._grown_over_plain("mnist", 0)
    # Two epochs leave no time for a trial, so that the run costs what the plain one costs.
    assert (flops, trials, kept) == (1.0, 0, 0)
    assert seconds > 0
    (final,) = plain
    assert sum(p.numel() for p in final.parameters()) == sum(
        p.numel() for p in network("mnist").parameters()
    )


def test_figures_have_their_goals_and_the_median_of_the_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = {0: (1.0, 1.2, 3, 1), 1: (9.0, 1.1, 4, 2), 2: (2.0, 1.4, 5, 0)}
    monkeypatch.setattr(price, "_grown_over_plain", lambda name, rng_seed: runs[rng_seed])
    figures = price.price()
    assert [figure.name for figure in figures] == [
        f"grown_run/{name}/{what}" for name in IMAGES for what in ("processor_time", "flops")
    ]
    assert [(figure.value, figure.goal, figure.ok) for figure in figures[:2]] == [
        (2.0, 1.5, False),
        (1.2, 1.3, True),
    ]
    assert figures[1].reference == "the same; 4 trials, 1 kept (medians of 3)"
