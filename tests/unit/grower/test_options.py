from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from esper.attribution.options import Attribution
from esper.blueprint.options import Blueprints
from esper.config import RunConfig
from esper.contracts.errors import ConfigError
from esper.data.digits import Digits
from esper.data.spirals import Spirals
from esper.data.text import Text
from esper.grower.family import family_of
from esper.grower.options import GrowerArguments, GrowerOptions, option_of
from esper.growth.coin import Coin
from esper.growth.options import Growth, ReadOut
from esper.growth.prepare import HostSetup, prepare
from esper.options import ControlOptions
from esper.policy.heuristic import Heuristic
from esper.policy.random import Random as RandomPolicy
from esper.reward.gain import Gain
from esper.safety.options import Safety
from esper.strategy.random import Random as RandomStrategy
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from tests.unit.policy.builders import make_outcome
from tests.unit.scripted import script

KEYS = [each.name for each in fields(ControlOptions)]


def test_an_argument_is_declared_for_every_option() -> None:
    assert set(GrowerArguments.__annotations__) == {each.name for each in fields(GrowerOptions)}


def test_what_is_not_named_has_its_default() -> None:
    choices = GrowerOptions.of({})
    usual = {key: getattr(RunConfig(), key) for key in KEYS}
    usual["growth"] = replace(usual["growth"], widen=None)
    assert {key: getattr(choices, key) for key in KEYS} == usual
    assert (choices.slots, choices.placement, choices.num_seeds) == ("auto", "auto", 4)


@pytest.mark.parametrize(
    "option", [Digits(), Spirals(num_samples=60), Text(max_windows=20, context=8)]
)
def test_the_kind_of_an_input_is_seen_from_a_batch(option: Any) -> None:
    data = option.load()
    assert family_of(data.train.x[:4]) == data.spec.kind


def test_options_come_by_name_or_as_objects() -> None:
    mine = Thompson(prior_alpha=2.0)
    choices = GrowerOptions.of(
        {"strategy": mine, "policy": "heuristic", "growth": Growth(ramp="cosine")}
    )
    assert choices.strategy is mine
    assert choices.policy == Heuristic()
    assert choices.growth.ramp == "cosine"
    assert option_of("strategy", "ucb") == UCB()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("light", ("light",)),
        (("mlp", "lora"), ("mlp", "lora")),
        (["mlp"], ("mlp",)),
        (Blueprints(("all",)), ("all",)),
    ],
)
def test_blueprints_come_as_a_word_as_names_or_as_an_object(given: Any, names: Any) -> None:
    assert GrowerOptions.of({"blueprint": given}).blueprint.names == names


@pytest.mark.parametrize(
    ("given", "slots"),
    [("auto", "auto"), (["auto"], "auto"), ("block1", ("block1",)), (["a", "b"], ("a", "b"))],
)
def test_slots_come_as_a_word_as_one_path_or_as_several(given: Any, slots: Any) -> None:
    assert GrowerOptions.of({"slots": given}).slots == slots


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stratgy": "ucb"}, r"no option 'stratgy' \(did you mean: strategy\)"),
        ({"xyz": 1}, r"no option 'xyz' \(did you mean: attribution, blueprint, chance_loss, "),
        ({"strategy": "best"}, "strategy must be one of ucb, thompson, .* got 'best'"),
        ({"policy": 3}, "policy must be a name or an option object, got 3"),
        ({"blueprint": "nonsense"}, "unknown blueprint 'nonsense'"),
        ({"blueprint": ("mlp", "standard")}, "'standard' stands alone"),
        ({"blueprint": 5}, "blueprint must be an object of .*Blueprints, got 5"),
        ({"slots": ()}, "model.slots must be auto or a list of module paths"),
        ({"slots": ("a", "a")}, "model.slots must name each path once"),
        ({"placement": "beside"}, "model.placement must be one of auto, series, parallel"),
        ({"num_seeds": 0}, "model.num_seeds must be a whole number >= 1, got 0"),
        ({"chance_loss": "1"}, "chance_loss must be > 0 and finite, or None, got '1'"),
        ({"chance_loss": True}, "chance_loss must be > 0 and finite, or None, got True"),
        ({"chance_loss": -1.0}, "chance_loss must be > 0 and finite, or None, got -1.0"),
        ({"run_id": 3}, "run_id must be a text or None, got 3"),
        ({"task_family": ""}, "task_family must be a text or None, got ''"),
        ({"schedulers": None}, "schedulers must be a list of schedulers, got NoneType"),
        (
            {"strategy": RandomPolicy()},
            r"strategy must be an option with a method `scores`, got Random\(.*option of policy$",
        ),
        ({"policy": RandomStrategy()}, "policy must be an option with .* an option of strategy$"),
        ({"store": Gain()}, "store must be an option with .* which is an option of reward$"),
        ({"orchestrator": Blueprints()}, "orchestrator must be .* an option of blueprint$"),
        (
            {"reward": Safety()},
            r"reward must be .* method `judge`, got Safety\(.*\)$",
        ),
        ({"policy": Heuristic}, "policy must be a name or an option object, got <class"),
        ({"grow_until": 0.5}, r"no option 'grow_until': it is .* policy=Heuristic\(grow_until=0.6"),
        ({"attribution": "twin"}, "attribution must be an object of .*Attribution, got 'twin'"),
        ({"run": "last"}, "run must be an object of .*ReadOut, got 'last'"),
        (
            {"growth": Growth(shadowing_epochs=3)},
            r"attribution.looks must start at 5 or later, .* got \[4, 6, 9\]",
        ),
        (
            {"growth": Growth(on_cull="twin")},
            "growth.on_cull=twin needs attribution.method=twin, got muting",
        ),
        (
            {"growth": {"ramp": "linear"}},
            "growth must be an object of esper.growth.options.Growth, got {",
        ),
        ({"governor": "off"}, "governor must be an object of .*GovernorOptions, got 'off'"),
        ({"viability": None}, "viability must be an object of .*Viability, got None"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_it(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GrowerOptions.of(given)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("given", "asked", "shown"),
    [
        # Twice the FLOPs: the least gain and the price, of which muting shows a quarter.
        ({"policy": Heuristic(price=0.04)}, 0.005 + 0.25 * 0.04, 0.25),
        (
            {"policy": Heuristic(price=0.04), "attribution": Attribution(method="twin")},
            0.02 + 0.04,
            1.0,
        ),
        ({"policy": Heuristic(min_improvement_to_fossilize=0.03)}, 0.03 + 0.25 * 0.01, 0.25),
        ({"policy": script()}, 0.005 + 0.25 * 0.01, 0.25),
    ],
)
def test_an_outcome_says_what_verdicts_asked_of_it(
    given: dict[str, Any], asked: float, shown: float
) -> None:
    outcome = replace(make_outcome(), flops_before=100.0, flops_after=200.0)
    priced = GrowerOptions.of(given).priced(outcome)
    assert (priced.asked_gain, priced.shown) == (pytest.approx(asked), shown)


def test_a_model_is_prepared_as_chosen() -> None:
    host_model = model()
    choices = GrowerOptions.of(
        {"slots": ("2",), "placement": "series", "num_seeds": 2, "blueprint": ("lora", "mlp")}
    )
    host = prepare(
        host_model, SGD(host_model.parameters(), lr=0.1), torch.ones(3, 4), choices.setup(0)
    )
    (slot,) = host.slots.values()
    assert (slot.spec.name, slot.spec.placement) == ("2", "series")
    assert slot.spec.catalogue == ("lora", "mlp")
    assert [seed.bound for seed in slot.seeds] == ["lora", "mlp"]
    assert host.base_flops == 2 * (4 * 6 + 6 * 6 + 6 * 3)
    assert host.options is choices.growth


def test_the_attribution_chooses_the_coin_and_the_run_the_average() -> None:
    def made(**attribution: Any) -> HostSetup:
        options = {"attribution": Attribution(**attribution), "run": ReadOut(average=0.5)}
        return GrowerOptions.of(options).setup(7)

    assert made().coin == Coin(7, 0.5)
    assert made(mute_probability=0.25).coin == Coin(7, 0.25)
    assert [made(method=name).coin.probability for name in ("twin", "ablation")] == [0.0, 0.0]
    assert made().average_epochs == 0.5


def test_blueprints_that_fit_nowhere_leave_no_place() -> None:
    host_model = model()
    optimizer = SGD(host_model.parameters(), lr=0.1)
    for slots in ("auto", ("2",)):
        choices = GrowerOptions.of({"blueprint": ("conv",), "slots": slots})
        with pytest.raises(ConfigError, match=r"names=\[conv\] does not fit .*what does: mlp, "):
            prepare(host_model, optimizer, torch.ones(3, 4), choices.setup(0))


def test_a_host_that_has_no_place_is_to_blame_itself() -> None:
    host_model = nn.Flatten()
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(ConfigError, match="no slot can be placed in Flatten"):
        prepare(host_model, optimizer, torch.ones(3, 4), GrowerOptions.of({}).setup(0))


def test_a_budget_that_the_model_is_over_by_itself_is_refused() -> None:
    def prepared(budget: int) -> None:
        model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))  # 9 + 8 parameters
        safety = Safety(parameter_budget=budget)
        optimizer = SGD(model.parameters(), lr=0.1)
        prepare(model, optimizer, torch.zeros(4, 2), GrowerOptions.of({"safety": safety}).setup(0))

    prepared(17)
    with pytest.raises(ConfigError, match=r"^safety\.parameter_budget=16 is less than the 17 "):
        prepared(16)
