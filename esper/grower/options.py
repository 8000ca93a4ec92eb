"""The options of a `Grower`: by name or as objects, checked before anything is built."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from random import Random
from typing import Any, TypedDict

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from esper.attribution.options import Attribution
from esper.blueprint.options import Blueprints
from esper.contracts.checks import is_real, require
from esper.contracts.errors import ConfigError
from esper.contracts.outcome import Outcome
from esper.grower.checkups import Checkups
from esper.grower.costs import Costs
from esper.grower.family import family_of, least_gain, reward_model_of
from esper.grower.observe import Observer
from esper.grower.prospects import Prospects
from esper.grower.settle import Settler
from esper.growth.coin import Coin
from esper.growth.options import AUTO, Growth, ReadOut
from esper.growth.prepare import HostSetup
from esper.kernels.options import Kernels, RecoveryOptions
from esper.kernels.pipeline import KernelPipeline
from esper.learning.gain_model import GainModel
from esper.model.base import HostOptions
from esper.options import OPTIONS, ControlOptions
from esper.orchestrator.base import Orchestrator
from esper.policy.base import Policy, PolicyOption, reads_health, reads_scores
from esper.policy.gain_files import shipped_gain_model
from esper.policy.rules.growth import GrowthLimits
from esper.policy.rules.verdict import VerdictRules, flops_price
from esper.reward.base import RewardModel
from esper.safety.options import GovernorOptions, Safety
from esper.safety.rollback import Governor
from esper.signals.options import Signals
from esper.store.base import StoreOption
from esper.store.prior import pool_priors
from esper.strategy.base import Strategy
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.viability import Viability

_METHODS = {
    "strategy": "scores",
    "orchestrator": "plan",
    "policy": "build",
    "reward": "judge",
    "store": "open",
}
GROUPS = tuple(_METHODS)
"""Config groups whose options are names, or objects that implement the group's protocol."""

MOVED = {"grow_until": "is now a field of the policy: policy=Heuristic(grow_until=0.6)"}
"""Arguments of earlier versions, each with its replacement."""


class GrowerArguments(TypedDict, total=False):
    """The keyword arguments of `Grower` that set an option; see `GrowerOptions` for defaults."""

    strategy: str | Strategy
    orchestrator: str | Orchestrator
    policy: str | PolicyOption
    reward: str | RewardModel
    store: str | StoreOption
    blueprint: str | Sequence[str] | Blueprints
    slots: str | Sequence[str]
    placement: str
    num_seeds: int
    viability: Viability
    safety: Safety
    governor: GovernorOptions
    recovery: RecoveryOptions
    signals: Signals
    growth: Growth
    kernels: Kernels
    attribution: Attribution
    run: ReadOut
    run_id: str | None
    chance_loss: float | None
    task_family: str | None
    schedulers: Sequence[LRScheduler]


@dataclass(frozen=True, kw_only=True)
class GrowerOptions(ControlOptions):
    """The options of a grower.

    slots: `auto`, or the module paths that get a slot.
    placement: `series`, `parallel`, or `auto`.
    num_seeds: seeds a slot.
    run_id: key of this run in a store; random if None.
    chance_loss: loss of a network that guesses, ln(classes) for classification; if None, the
        governor only compares losses with earlier ones.
    task_family: kind of the task; a run learns from those runs of its store that have the same.  If
        None, it follows from the example input: `vector`, `image`, `tokens`, ...
    schedulers: torch's learning rate schedulers of the optimizer, which then see only the host's
        parameter groups.
    """

    slots: str | tuple[str, ...] = "auto"
    placement: str = "auto"
    num_seeds: int = 4
    run_id: str | None = None
    chance_loss: float | None = None
    task_family: str | None = None
    schedulers: Sequence[LRScheduler] = ()

    def __post_init__(self) -> None:
        host = HostOptions(self.slots, self.num_seeds, self.placement)
        object.__setattr__(self, "slots", "auto" if host.slots == ("auto",) else host.slots)
        self._check_types()
        for key, default in vars(ControlOptions()).items():
            value, kind = getattr(self, key), type(default)
            valid = key in GROUPS or isinstance(value, kind)
            require(valid, key, f"an object of {kind.__module__}.{kind.__name__}", repr(value))
        self.attribution.check_stages(self.growth)
        if self.growth.widen == AUTO:
            raise ValueError("growth.widen=auto: only a run of esper train can make its host wider")

    def _check_types(self) -> None:
        """Check the options that no class of their own checks."""
        guess, key = self.chance_loss, self.run_id
        is_loss = guess is None or (is_real(guess) and 0 < guess < math.inf)
        require(is_loss, "chance_loss", "> 0 and finite, or None", repr(guess))
        require(key is None or isinstance(key, str), "run_id", "a text or None", repr(key))
        family = self.task_family
        is_name = family is None or (isinstance(family, str) and family != "")
        require(is_name, "task_family", "a text or None", repr(family))
        is_list = isinstance(self.schedulers, list | tuple)
        require(is_list, "schedulers", "a list of schedulers", type(self.schedulers).__name__)

    def setup(self, rng_seed: int, policy: Policy | None = None) -> HostSetup:
        """Return the options of the model's slots; seed and policy are those of the run."""
        mutes = self.attribution.method == "muting"
        return HostSetup(
            coin=Coin(rng_seed, self.attribution.mute_probability if mutes else 0.0),
            average_epochs=self.run.average,
            # A run whose policy reads none of it neither pays for it nor fails in it.
            follows_data=policy is not None and self.reads_health(policy),
            slots=self.slots,
            placement=self.placement,
            num_seeds=self.num_seeds,
            selection=self.blueprint.selection,
            growth=self.growth,
            parameter_budget=self.safety.parameter_budget,
            schedulers=self.schedulers,
        )

    def settler(self, policy: Policy, example_input: Tensor) -> Settler:
        """Return a settler, and open the store; raise DataError if it cannot be read."""
        family = self.task_family or family_of(example_input)
        model = reward_model_of(self.reward, self.attribution, self.verdict_rules)
        ledger = Ledger(family, model, reads_health=self._strategy_reads_health)
        ledger.start_from(pool_priors(self.store.prior))
        run_id, store = self.run_id or uuid.uuid4().hex, self.store.open()
        return Settler(self.reward, policy, store, run_id, ledger)

    def reads_health(self, policy: Policy) -> bool:
        """Return whether the policy or the strategy reads the health of slots."""
        return reads_health(policy) or self._strategy_reads_health

    @property
    def _strategy_reads_health(self) -> bool:
        return bool(getattr(self.strategy, "reads_health", False))

    @property
    def gain_model(self) -> GainModel | None:
        """What tells a strategy that reads health what a germination promises; None without one."""
        return shipped_gain_model() if self._strategy_reads_health else None

    @property
    def verdict_rules(self) -> VerdictRules:
        """The rules of the policy's verdicts; the usual ones for a policy that has none of them."""
        return self.policy if isinstance(self.policy, VerdictRules) else VerdictRules()

    def selector(self, ledger: Ledger, rng_seed: int) -> Selector:
        """Return the selector of seeds; `rng_seed` is that of the run."""
        rng = Random(f"strategy/{rng_seed}")
        return Selector(self.strategy, self.viability, ledger, rng)

    def observer(
        self, settler: Settler, governor: Governor, costs: Costs, pipeline: KernelPipeline
    ) -> Observer:
        """Return what observes the run; it has checkups if something reads the slots' health."""
        ranks = reads_scores(settler.policy)
        prospects = Prospects(costs, pipeline, settler.ledger, self.verdict_rules, ranks=ranks)
        checkups = None
        if self.reads_health(settler.policy):
            rules = self.policy
            checkups = Checkups(
                costs,
                pipeline,
                every=self.signals.probe_every,
                limits=rules if isinstance(rules, GrowthLimits) else None,
                gives_scores=reads_health(settler.policy),
            )
        return Observer(costs, governor, prospects, self.signals, self.safety, checkups)

    def priced(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the gain that verdicts ask of it, which its reward reads."""
        rules, shown = self.verdict_rules, self.attribution.shown
        least = least_gain(self.attribution, rules)
        price = flops_price(rules.price, shown, outcome.added_flops)
        return replace(outcome, asked_gain=least + price, shown=shown)

    @property
    def cooldown_epochs(self) -> int:
        """Epochs for which a slot rests after a change."""
        epochs: int = self.orchestrator.adaptation_cooldown_epochs
        return epochs

    def pipeline(self, rng_seed: int) -> KernelPipeline:
        """Return a kernel pipeline with the budgets of `safety`."""
        return KernelPipeline(
            self.kernels,
            rng_seed,
            parameter_budget=self.safety.parameter_budget,
            memory_budget_mb=self.safety.memory_budget_mb,
        )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "GrowerOptions":
        """Return the options given by keyword arguments.

        Raises:
            ConfigError: if a key is unknown or a value not allowed.
        """
        allowed = {each.name for each in fields(cls)}
        for key in given:
            if key in MOVED:
                raise ConfigError(f"Grower has no option '{key}': it {MOVED[key]}")
            if key not in allowed:
                near = get_close_matches(key, allowed, n=1) or _with_key(key) or sorted(allowed)
                raise ConfigError(f"Grower has no option '{key}' (did you mean: {', '.join(near)})")
        options = {
            key: option_of(key, value) if key in GROUPS else value for key, value in given.items()
        }
        names = options.get("blueprint")
        try:
            if isinstance(names, str | list | tuple):
                names = (names,) if isinstance(names, str) else tuple(names)
                options["blueprint"] = Blueprints(names)
            return cls(**options)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def _with_key(key: str) -> list[str]:
    """Return how each default option that has the key takes it."""
    return [
        f"{group}={type(option).__name__}({key}=...) of {type(option).__module__}"
        for group, option in vars(ControlOptions()).items()
        if is_dataclass(option) and key in {each.name for each in fields(option)}
    ]


def option_of(group: str, value: Any) -> Any:
    """Return the option of a name; return an option object unchanged."""
    if isinstance(value, str):
        if value not in OPTIONS[group]:
            raise ConfigError(f"{group} must be one of {', '.join(OPTIONS[group])}, got {value!r}")
        return OPTIONS[group][value]()
    if not is_dataclass(value) or isinstance(value, type):
        raise ConfigError(f"{group} must be a name or an option object, got {value!r}")
    others = [other for other in OPTIONS if type(value) in OPTIONS[other].values()]
    is_foreign = bool(others) and group not in others
    if is_foreign or not callable(getattr(value, _METHODS[group], None)):
        belongs = f", which is an option of {others[0]}" if is_foreign else ""
        raise ConfigError(
            f"{group} must be an option with a method `{_METHODS[group]}`, got {value!r}{belongs}"
        )
    return value
