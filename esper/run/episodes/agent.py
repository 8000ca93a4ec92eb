"""A policy that carries out the action of an agent outside, and the actions that it can take.

0                        wait
1 + NUM_SEEDS * i + j    germinate seed j of slot i, with the blueprint that it is bound to
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotSpec
from esper.contracts.stage import SeedStage
from esper.contracts.step import StepReport
from esper.grower.grower import Grower
from esper.kernels.kernel import KernelError
from esper.kernels.request import recipe_of
from esper.policy.base import Policy, wait
from esper.policy.rules.growth import GrowthRules, combine, growable_slots, obstacle
from esper.policy.rules.verdict import VerdictRules, judge
from esper.run.episodes.branches import NUM_SEEDS
from esper.run.episodes.scripted import keep_all, request

MAX_SLOTS = 12
"""Most slots of a host."""
NUM_ACTIONS = 1 + MAX_SLOTS * NUM_SEEDS
WAIT = 0


@dataclass(frozen=True, kw_only=True)
class Agent(VerdictRules, GrowthRules):
    """Germinates what an agent outside asks for; a policy that no configuration offers.

    keeps: whether each kernel is kept at its first look; otherwise the usual verdict decides.
    """

    keeps: bool = False

    def build(self, rng_seed: int) -> "AgentPolicy":
        """Return a new policy; it makes no random choices."""
        return AgentPolicy(self)


class AgentPolicy(Policy):
    """The policy of `Agent`.

    action: the one to carry out at the next decision.
    """

    name: ClassVar[str] = "agent"
    reads_scores: ClassVar[bool] = False
    reads_health: ClassVar[bool] = True

    def __init__(self, options: Agent) -> None:
        self.options, self.action = options, WAIT

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then the request of the action, else to wait."""
        verdicts = self.verdicts(observation)
        if self.action == WAIT:
            return combine(verdicts, wait("the agent waits"))
        return [*verdicts, _asked(observation, seed_of(observation, self.action))]

    def verdicts(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due on live seeds."""
        return keep_all(observation) if self.options.keeps else judge(observation, self.options)


def seed_of(observation: Observation, action: int) -> SeedState:
    """Return the seed that an action other than to wait germinates.

    Raises:
        IndexError: if there is none.
    """
    slot, seed = divmod(action - 1, NUM_SEEDS)
    return observation.slots[slot].seeds[seed]


def only_wait() -> NDArray[np.int8]:
    """Return the mask of every action but to wait."""
    mask = np.zeros(NUM_ACTIONS, dtype=np.int8)
    mask[WAIT] = 1
    return mask


def action_mask(grower: Grower, policy: AgentPolicy, seen: StepReport) -> NDArray[np.int8]:
    """Return 1 for each action that can be carried out now, 0 for the others.

    An action passes the rules that policies share, and the review of safety beside this epoch's
    verdicts; its kernel is within the limits.
    """
    mask, rules, observation = only_wait(), policy.options, seen.observation
    if seen.has_rolled_back or obstacle(observation, rules) is not None:
        return mask
    verdicts = policy.verdicts(observation)
    names = [slot.spec.name for slot in observation.slots]
    for slot in growable_slots(observation, rules, verdicts)[0]:
        first = 1 + NUM_SEEDS * names.index(slot.spec.name)
        asked = _asked(observation, slot.seeds[0])
        # The review reads which slot grows, not which of its seeds.
        if asked in grower.reviewer.sift([*verdicts, asked], observation)[0]:
            for seed in slot.seeds:
                mask[first + seed.seed] = _fits(grower, observation, slot.spec, seed)
    return mask


def _fits(grower: Grower, observation: Observation, spec: SlotSpec, seed: SeedState) -> bool:
    """Return whether a seed can germinate within the limits on kernels that an episode has."""
    if seed.stage is not SeedStage.DORMANT or seed.risk > grower.options.safety.max_risk:
        return False
    with suppress(KernelError):
        _, cost = recipe_of(spec, seed.seed, seed.bound)
        return cost.flops <= observation.affordable_flops
    return False


def _asked(observation: Observation, seed: SeedState) -> Decision:
    return request(observation, seed.slot, seed.bound)
