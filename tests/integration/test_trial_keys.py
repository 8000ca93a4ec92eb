"""Each key of trials, their price, the average and the read-out changes a real run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness import Run
from tests.integration.in_process import code_of

EPOCHS = 10
BASE = (
    "train logger=none data=spirals data.num_samples=300 model=mlp training.steps_per_epoch=16 "
    f"epochs={EPOCHS} policy=schedule policy.fractions=[0.08] policy.price=0 safety.max_cost=99 "
    "policy.seeds_per_adaptation=1"
)
"""One seed germinates after the first epoch; its looks are at the ages 4, 6 and, since the last two
epochs are left to what stays, 7."""
NEVER = "policy.grow_until=0"
Trained = Callable[..., Run]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a function that runs the command with further overrides, each only once."""
    known: dict[tuple[str, ...], Run] = {}

    def train(*overrides: str) -> Run:
        if overrides not in known:
            folder: Path = tmp_path_factory.mktemp("keys") / "run"
            assert code_of(*BASE.split(), f"hydra.run.dir={folder}", *overrides) == 0
            known[overrides] = Run(folder)
        return known[overrides]

    return train


def ages(run: Run) -> list[int]:
    return [each["age"] for each in run.of("performance")]


def verdicts(run: Run) -> list[str]:
    """Return the reasons of the decisions on the seed, one a look."""
    return [each["reason"] for each in run.of("decision") if each["seed"] is not None]


def losses(run: Run, key: str = "val_loss") -> list[float]:
    return [line[key] for line in run.metrics]


def test_looks_are_taken_at_the_chosen_ages(trained: Trained) -> None:
    # A bar that nothing passes lets a useful seed wait for its last look.
    high = "attribution.min_gain=0.99"
    assert ages(trained(high)) == [4, 6, 7]
    assert ages(trained(high, "attribution.looks=[5,7]")) == [5, 7]
    assert verdicts(trained(high, "attribution.looks=[5,7]"))[-1].endswith(
        "at age 7, the last look"
    )


def test_the_least_gain_and_the_standard_errors_set_the_bar(trained: Trained) -> None:
    assert "<= 0.99 at age 4" in verdicts(trained("attribution.min_gain=0.99"))[0]
    none = trained("attribution.min_gain=0", "attribution.standard_errors=0")
    assert "> 0 at age 4" in verdicts(none)[0]
    (measured, *_) = none.of("performance")
    errors = trained("attribution.min_gain=0", "attribution.standard_errors=1000")
    bar = 1000 * 3**0.5 * measured["gain_error"]
    assert f"<= {bar:.4g} at age 4" in verdicts(errors)[0], "the first look of three"


def test_a_kernel_on_trial_is_muted_as_often_as_chosen(trained: Trained) -> None:
    # The fourth epoch is the first in SHADOWING, and has no look.
    rarely, often = (
        trained(f"attribution.mute_probability={share}").metrics[3]["flops"]
        for share in (0.01, 0.99)
    )
    never = trained(NEVER).metrics[3]["flops"]
    bare = trained().metrics[0]["flops"]
    assert never == bare == often < rarely


def test_a_price_is_taken_off_the_gain(trained: Trained) -> None:
    assert "after a price of 0.5 a doubling" in verdicts(trained("policy.price=0.5"))[0]
    assert "price" not in verdicts(trained())[0]
    sure = "attribution.standard_errors=0"
    assert trained(sure).moves("FOSSILIZED")
    assert not trained(sure, "policy.price=0.5").moves("FOSSILIZED")


def test_growth_ends_with_its_share_of_the_budget(trained: Trained) -> None:
    run = trained("policy.grow_until=0.05")
    assert not run.moves("GERMINATED")
    assert "epoch 1 of 10 is past policy.grow_until=0.05" in {
        e["reason"] for e in run.of("decision")
    }


def test_a_run_that_may_cost_nothing_more_does_not_grow(trained: Trained) -> None:
    run = trained("safety.max_cost=1")
    assert not run.moves("GERMINATED")
    words = "another trial would cost more than safety.max_cost allows"
    assert words in {each["reason"] for each in run.of("decision")}
    assert len({line["flops"] for line in run.metrics}) == 1


def test_the_learning_rate_falls_when_it_is_told_to(trained: Trained) -> None:
    rates = losses(trained("training.decay_from=0.3"), "learning_rate")
    assert [rate == 0.01 for rate in rates] == [True] * 3 + [False] * 7
    assert set(losses(trained("training.decay_from=1"), "learning_rate")) == {0.01}


def test_an_average_changes_what_is_scored_and_not_what_is_trained(trained: Trained) -> None:
    runs = [trained(NEVER, f"run.average={e}") for e in (0, 1, 3)]
    assert len({tuple(losses(run)) for run in runs}) == 3
    assert len({tuple(losses(run, "train_loss")) for run in runs}) == 1


def test_the_read_out_changes_the_network_at_the_end_alone(trained: Trained) -> None:
    best = trained("training.decay_from=1")
    last = trained("training.decay_from=1", "run.read_out=last")
    assert losses(best) == losses(last)
    assert last.summary["read_out_epoch"] == EPOCHS
    found = losses(best)
    assert best.summary["read_out_epoch"] == 1 + found.index(min(found))
    assert best.summary["test_loss"] != last.summary["test_loss"]
