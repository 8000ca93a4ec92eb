"""Which tasks and rewards are alike enough for one run to learn from another's trials."""

from dataclasses import fields, is_dataclass

from torch import Tensor

from esper.attribution.options import Attribution
from esper.contracts.data import InputKind
from esper.policy.rules.verdict import VerdictRules
from esper.reward.base import RewardModel

_KINDS = {2: InputKind.VECTOR, 4: InputKind.IMAGE}


def family_of(example_input: Tensor) -> str:
    """Return the task family of a batch of inputs: the kind of a sample.

    With 2 dimensions it is `tokens` for integers and `vector` for other numbers, and with 4 it is
    `image`.  Any other number of dimensions is a family of its own, such as `3d`.
    """
    dimensions = example_input.dim()
    if dimensions == 2 and not example_input.is_floating_point():
        return InputKind.TOKENS.value
    kind = _KINDS.get(dimensions)
    return f"{dimensions}d" if kind is None else kind.value


def reward_model_of(reward: RewardModel, attribution: Attribution, rules: VerdictRules) -> str:
    """Return the reward model of a run: `gain`, `gain scale=10`, or `gain method=twin`.

    Options other than the defaults give rewards another scale, other methods of attribution show
    other shares of a gain, and rewards are of what a gain is above what verdicts ask for; so all
    of these are named.
    """
    words = [reward.name]
    if is_dataclass(reward):
        given = {each.name: (getattr(reward, each.name), each.default) for each in fields(reward)}
        words += [
            f"{name}={value}" if isinstance(value, bool | str) else f"{name}={value:g}"
            for name, (value, default) in given.items()
            if isinstance(value, bool | int | float | str) and value != default
        ]
    if attribution.method != Attribution.method:
        words.append(f"method={attribution.method}")
    if rules.price != VerdictRules.price:
        words.append(f"price={rules.price:g}")
    least = least_gain(attribution, rules)
    if least != Attribution(method=attribution.method).least_gain:
        words.append(f"least={least:g}")
    return " ".join(words)


def least_gain(attribution: Attribution, rules: VerdictRules) -> float:
    """Return the relative gain that a kept kernel must exceed before its price."""
    return max(attribution.least_gain, rules.min_improvement_to_fossilize)
