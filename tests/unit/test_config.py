"""The configuration: defaults, refusals in one line, and the way to YAML and back."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esper.app.explain import explain
from esper.app.schema import conf_dir, register, to_run_config, writable
from esper.config import RunConfig
from esper.contracts.errors import ConfigError
from esper.growth.options import Growth
from esper.model.cnn import CNN
from esper.options import OPTIONS, option_name
from esper.strategy.thompson import Thompson
from esper.strategy.viability import Viability

CHOICES = [(group, name) for group, options in OPTIONS.items() for name in options]

FIXED_KEYS = {
    "": ["epochs", "rng_seed", "device", "name", "experiment"],
    "data": ["batch_size"],
    "model": ["slots", "num_seeds", "placement"],
    "blueprint": ["names"],
    "strategy": ["exploration_constant"],
    "viability": ["min_dormant_epochs", "max_concurrent_seeds"],
    "policy": [
        "trigger",
        "plateau_epochs_to_germinate",
        "min_epochs_before_germinate",
        "embargo_epochs_after_cull",
        "cull_if_accuracy_drops_by",
        "cull_after_epochs_without_improvement",
        "min_improvement_to_fossilize",
        "price",
        "grow_until",
    ],
    "attribution": ["method", "mute_probability", "looks", "min_gain", "standard_errors"],
    "run": ["read_out", "average"],
    "orchestrator": ["initial_blend", "adaptation_cooldown_epochs"],
    "training": ["optimizer", "lr", "steps_per_epoch", "schedule", "decay_from"],
    "growth": ["on_cull"],
    "reward": ["clock"],
    "signals": ["history_window", "plateau_threshold", "probe_every"],
    "safety": [
        "max_adaptations_per_epoch",
        "max_live_seeds",
        "max_events",
        "max_changes_per_epoch",
        "max_cost",
    ],
    "governor": ["enabled", "rise", "window", "sustained", "max_rollbacks"],
}

OPTION_KEYS = {
    "data=text": ["path"],
    "data=cifar10": ["path", "max_samples", "image_size", "batch_size", "split_seed"],
    "model=custom": ["factory"],
    "strategy=thompson": ["prior_alpha", "prior_beta", "first_order_weight"],
    "strategy=sliding_ucb": ["latest_size", "exploration_constant"],
    "strategy=exp3": ["exploration"],
    "strategy=linucb": ["alpha"],
    "strategy=linthompson": ["scale", "reads_health"],
    "strategy=neural": ["scale", "reads_health"],
    "strategy=epsilon_greedy": ["epsilon", "decay_rate"],
    "strategy=performance_weighted": ["window_size", "decay_factor", "temperature"],
    "store=memory": ["prior"],
    "store=sqlite": ["path", "prior"],
    "store=redis": ["url", "key", "prior"],
    "store=snapshot": ["path", "prior"],
    "logger=redis": ["url", "stream", "maxlen"],
}


@pytest.fixture(autouse=True, scope="module")
def _hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose(config_name="train", overrides=list(overrides))


def refusal(*overrides: str) -> str:
    try:
        with pytest.raises(ConfigError) as refused:
            to_run_config(composed(*overrides))
    except (HydraException, OmegaConfBaseException) as error:
        return explain(error)
    return str(refused.value)


def test_the_configuration_files_say_what_the_classes_say() -> None:
    assert to_run_config(composed()) == RunConfig()


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_option_composes_to_the_defaults_of_its_class(group: str, name: str) -> None:
    option = getattr(to_run_config(composed(f"{group}={name}")), group)
    expected = OPTIONS[group][name]() if group != "blueprint" else OPTIONS[group][name]((name,))
    # Where the number of epochs is known.
    assert option == (replace(expected, schedule="wsd") if group == "training" else expected)


def test_every_key_that_users_type_exists() -> None:
    cfg = composed()
    for parent, keys in FIXED_KEYS.items():
        assert set(keys) <= set(OmegaConf.select(cfg, parent) if parent else cfg)
    for choice, keys in OPTION_KEYS.items():
        group = choice.partition("=")[0]
        assert set(keys) <= set(OmegaConf.select(composed(choice), group))


def test_overrides_reach_the_typed_options() -> None:
    config = to_run_config(
        composed(
            "strategy=thompson",
            "strategy.prior_alpha=2",
            "viability.max_concurrent_seeds=3",
            "model.slots=[block1]",
            "blueprint.names=[conv,mlp]",
            "training.steps_per_epoch=7",
            "growth.ramp=cosine",
        )
    )
    assert config.strategy == Thompson(prior_alpha=2.0)
    assert config.viability == Viability(max_concurrent_seeds=3)
    assert config.model == CNN(slots=("block1",))
    assert config.blueprint.selection == ("conv", "mlp")
    assert config.training.steps_per_epoch == 7
    assert config.growth == Growth(ramp="cosine", widen="never")


def test_an_experiment_wins_over_the_defaults_and_the_command_line_over_it() -> None:
    assert to_run_config(composed("experiment=smoke")).epochs == 12
    assert to_run_config(composed("experiment=smoke", "epochs=9")).epochs == 9


def test_growth_and_the_schedule_of_the_learning_rate_end_apart() -> None:
    config = to_run_config(composed("policy.grow_until=0.4", "training.decay_from=0.8"))
    assert (config.policy.grow_until, config.training.decay_from) == (0.4, 0.8)


def test_looks_come_as_a_list_or_by_the_method() -> None:
    assert to_run_config(composed("attribution.looks=[4,7]")).attribution.ages == (4, 7)
    assert to_run_config(composed("attribution.method=twin")).attribution.ages == (4, 6)
    assert to_run_config(composed()).attribution.ages == (4, 6, 9)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["epochs=abc"], "epochs must be a whole number >= 1, or auto, got abc"),
        (["epochs=1.5"], "epochs must be a whole number >= 1, or auto, got 1.5"),
        (["epochs=0"], "epochs must be a whole number >= 1, or auto, got 0"),
        (["epochs=null"], "epochs must be a whole number >= 1, or auto, got None"),
        (["rng_seed=-1"], "rng_seed must be in [0, 2**32), got -1"),
        (["device=tpu"], "device must be auto, cpu, cuda, cuda:<number> or mps, got 'tpu'"),
        (["name=a/b"], "name must be a plain folder name, got 'a/b'"),
        (["name=.."], "name must be a plain folder name, got '..'"),
        (["epoch=3"], "unknown key epoch; did you mean epochs? (keys: epochs,"),
        (
            ["strategy.epsilon=0.1"],
            "(keys of strategy=ucb: exploration_constant, first_order_weight)",
        ),
        (["+strategy.zz=1"], "unknown key strategy.zz (keys of strategy=ucb:"),
        (["+zz=1"], "unknown key zz (keys: epochs,"),
        (
            ["viability.max_concurent_seeds=1"],
            "did you mean viability.max_concurrent_seeds? (keys: min_dormant_epochs,",
        ),
        (
            ["strategy=thomson"],
            "unknown option strategy=thomson; did you mean thompson or linthompson? (allowed:",
        ),
        (["experiment=smok"], "unknown option experiment=smok; did you mean smoke?"),
        (["~strategy"], "strategy must be chosen, one of ucb, thompson,"),
        (["strategy.exploration_constant=x"], "exploration_constant must be a number, got x"),
        (["strategy.exploration_constant=nan"], "exploration_constant must be >= 0"),
        (["model.hidden=3"], "model.hidden must be a list, model.hidden=[a,b], got 3"),
        (["viability=5"], "viability must be set by its keys, viability.<key>=<value>, got 5"),
        (["governor.rise=1"], "governor.rise must be > 1 and finite, got 1"),
        (["safety.max_live_seeds=-1"], "safety.max_live_seeds must be >= 0 or null, got -1"),
        (["kernels.compile=maybe"], "must be true or false, got maybe"),
        (["training.steps_per_epoch=x"], "must be a whole number or null, got x"),
        (["viability.max_concurrent_seeds=9"], "must be <= model.num_seeds (4), got 9"),
        (["blueprint.names=[conw]"], "blueprint.names: unknown blueprint 'conw'; did you mean"),
        (["blueprint.names=[]"], "blueprint.names must hold a name at least, got []"),
        (["blueprint.names=[conv,all]"], "blueprint.names: 'all' stands alone"),
        (["name=${nowhere}"], "Interpolation key 'nowhere' not found"),
        (["policy.price=-1"], "policy.price must be in [0, 1], got -1"),
        (["policy.grow_until=2"], "policy.grow_until must be in [0, 1], got 2"),
        (["safety.max_cost=0.5"], "safety.max_cost must be >= 1 and finite, or null, got 0.5"),
        (["run.read_out=best"], "run.read_out must be one of best_average, last, got 'best'"),
        (["run.average=-1"], "run.average must be >= 0 and finite, got -1"),
        (["attribution.method=x"], "attribution.method must be one of muting, twin, ablation, got"),
        (["attribution.mute_probability=1"], "mute_probability must be in (0, 1), got 1"),
        (
            ["attribution.looks=[6,4]"],
            "attribution.looks must be rising whole numbers >= 1, or null",
        ),
        (["attribution.looks=[3]"], "attribution.looks must start at 4 or later"),
        (["attribution.min_gain=1"], "attribution.min_gain must be in [0, 1) or null, got 1"),
        (["attribution.standard_errors=-1"], "standard_errors must be >= 0 and finite, got -1"),
        (["growth.on_cull=twin"], "growth.on_cull=twin needs attribution.method=twin, got muting"),
        (
            ["growth.attribution=twin"],
            "unknown key growth.attribution: it is now attribution.method",
        ),
        (["growth.twin_epochs=6"], "growth.twin_epochs: it is gone: attribution.looks sets the"),
        (["growth.window=3"], "growth.window: it is gone: weights are averaged over run.average"),
        (["training.grow_until=0.5"], "training.grow_until: it is now policy.grow_until (growth)"),
        (["policy.until=0.5"], "unknown key policy.until: it is now policy.grow_until"),
        (["epochs=1,2"], "add -m to sweep over it, or write [a,b] for a list"),
        (["epochs"], "'epochs' is no override; write key=value"),
    ],
)
def test_a_refusal_is_one_line_that_names_key_value_and_what_is_allowed(
    overrides: list[str], words: str
) -> None:
    line = refusal(*overrides)
    assert words in line
    assert "\n" not in line
    assert "_schema" not in line


def test_an_option_of_another_group_is_refused() -> None:
    with pytest.raises(ValueError, match="strategy must be one of ucb, thompson"):
        RunConfig(strategy=CNN())


def test_registering_twice_changes_nothing() -> None:
    before = composed()
    register()
    assert composed() == before


def options() -> dict[str, st.SearchStrategy[Any]]:
    return {
        group: st.sampled_from(sorted(kinds)).map(lambda name, kinds=kinds: kinds[name]())
        for group, kinds in OPTIONS.items()
    }


CONFIGS = st.builds(
    RunConfig,
    epochs=st.integers(1, 10**6),
    rng_seed=st.integers(0, 2**32 - 1),
    device=st.sampled_from(["auto", "cpu", "cuda:1"]),
    name=st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True),
    experiment=st.none() | st.just("smoke"),
    viability=st.builds(
        Viability, min_dormant_epochs=st.integers(0, 99), max_concurrent_seeds=st.integers(1, 4)
    ),
    **options(),
)


@settings(max_examples=40)
@given(CONFIGS)
def test_a_configuration_survives_the_way_to_yaml_and_back(config: RunConfig) -> None:
    text = OmegaConf.to_yaml(OmegaConf.structured(config))
    schema = writable(OmegaConf.structured(RunConfig(**_fresh(config))))
    read = OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.create(text)))
    assert read == config


def _fresh(config: RunConfig) -> dict[str, Any]:
    """Return an option of the same class for each group: what reads the values back."""
    return {
        group: OPTIONS[group][option_name(group, getattr(config, group))]() for group in OPTIONS
    }


@settings(max_examples=10)
@given(st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1e6))
def test_numbers_survive_the_command_line(first: float, second: float) -> None:
    cfg = composed(
        "strategy=ucb", f"strategy.exploration_constant={first}", f"training.weight_decay={second}"
    )
    config = to_run_config(cfg)
    assert config.strategy.exploration_constant == first
    assert config.training.weight_decay == second


def test_every_field_of_every_option_is_a_key_of_its_file() -> None:
    for group, name in CHOICES:
        text = (conf_dir() / group / f"{name}.yaml").read_text()
        for option in fields(OPTIONS[group][name]):
            assert f"\n{option.name}: " in text, f"{group}/{name}.yaml lacks {option.name}"
