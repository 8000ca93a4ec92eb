"""The base of policies whose network decides whether and where to grow.

The network reads the host as a graph (see `signals.graph`), and of every germination on offer the
features of the gain model and what that predicts.  Verdicts on kernels are those of `GainPolicy`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from esper.contracts.decision import Decision
from esper.contracts.health import BlockHealth
from esper.contracts.observation import Observation
from esper.learning.examine import speaking_slots, spreads
from esper.learning.gain_model import GainModel
from esper.learning.reading import to_text
from esper.learning.situation import WAIT, Judge, Judgement, Situation, collate
from esper.policy.base import wait
from esper.policy.gain_policy import Forecast, GainPolicy
from esper.policy.learned_net import learned_net
from esper.policy.learned_rules import LearnedRules
from esper.policy.networks.net_file import LearnedNet
from esper.policy.rules.adaptation import risk_of
from esper.signals.features import Feature, feature_vector
from esper.signals.graph import load_library, observation_graph
from esper.signals.scale import scaled_rows
from esper.signals.trends import HealthTrends


@dataclass(frozen=True, slots=True)
class _Request:
    """An offer that the network prefers to waiting.

    said: the judgement that preferred it.
    uncertainty: of it, in [0, 1].
    spoke: slots that moved its rank most, see `speaking_slots`.
    chosen: it, and the kernels that are tried beside it.
    """

    action: int
    said: Judgement
    uncertainty: float
    spoke: Sequence[tuple[int, float]]
    chosen: Sequence[Forecast]


class LearnedPolicy(GainPolicy):
    """A policy that takes the action its network ranks first.

    reads_gains: whether ranks depend on what the gain model predicts.
    judge: the network.
    """

    reads_gains: ClassVar[bool] = True

    def __init__(self, options: LearnedRules, model: GainModel, learned: LearnedNet) -> None:
        super().__init__(options, model)
        load_library()  # now, and not in the first epoch that decides
        self.rules = options
        self.learned = learned
        self.judge: Judge = learned.net
        self._trends = HealthTrends()
        self._before: Mapping[str, BlockHealth] = {}
        self._readings: dict[tuple[str, str], str] = {}

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then requests to grow or the reason to wait."""
        self._before = self._trends.update(observation)
        self._readings.clear()
        return super().decide(observation)

    def requests(
        self, observation: Observation, forecasts: Sequence[Forecast], most: int
    ) -> list[Decision]:
        """Return requests for the offers that the network prefers to waiting, else to wait."""
        situation = self.situation(observation, forecasts)
        nodes = situation.nodes.clone().requires_grad_()
        with torch.enable_grad():
            scores = self.judge.scores(collate([replace(situation, nodes=nodes)]))
        plain = scores.detach()
        # What is refused in vain would be worth as much as to wait, and be learned for it.
        safe = situation.allowed & (plain.risks.sigmoid() <= observation.max_risk)
        left = replace(situation, allowed=safe)
        picked: list[tuple[int, Judgement]] = []
        said = None
        while len(picked) < most and bool(left.allowed.any()):
            said = self.judge.decide(collate([left]), plain)
            action = self.pick(left, said)
            if action == WAIT:
                break
            picked.append((action, said))
            left = left.without_slot(action)
        if not picked:
            return [wait(self._why_not(observation, forecasts, said))]
        doubts = self.uncertainties(situation, [action for action, _ in picked])
        requests = []
        for (action, said), doubt in zip(picked, doubts, strict=True):
            slots = speaking_slots(nodes, scores, action)
            chosen = self.with_companions(forecasts[action - 1], forecasts)
            requests.append(_Request(action, said, doubt, slots, chosen))
            for each in chosen:
                self._read(situation, 1 + forecasts.index(each), each)
        return [self._asked(observation, each) for each in requests]

    def reading(self, slot: str, blueprint: str) -> str:
        """Return what the network read of a kernel that it asked for last."""
        return self._readings.get((slot, blueprint), "")

    def _read(self, situation: Situation, action: int, forecast: Forecast) -> None:
        """Keep what the network read of a kernel that it asks for."""
        offer, value = forecast.offer, float(situation.values[action - 1])
        asked = forecast.gain - value
        text = to_text(situation, action, asked, self.model.digest)
        self._readings[offer.slot, offer.birth.blueprint] = text

    def pick(self, situation: Situation, said: Judgement) -> int:
        """Return the action to take; that with the highest rank."""
        return int(said.ranks[0].argmax())

    def situation(self, observation: Observation, forecasts: Sequence[Forecast]) -> Situation:
        """Return what the network reads."""
        graph = observation_graph(observation, self._before, price=self.options.price)
        features = torch.from_numpy(scaled_rows([feature_vector(observation)], Feature))
        names = {slot.spec.name: place for place, slot in enumerate(observation.slots)}
        seeds = {(s.slot, s.bound): s.seed for slot in observation.slots for s in slot.seeds[::-1]}
        offers = [each.offer for each in forecasts]
        keys = [(offer.slot, offer.birth.blueprint) for offer in offers]
        values = [each.cautious - self.options.threshold for each in forecasts]
        doubts = [self.model.uncertainty(each.gain, each.deviation) for each in forecasts]
        return Situation(
            run=torch.cat([graph.u[0], features[0]]),
            nodes=graph.x,
            edges=graph.edge_index,
            edge_rows=graph.edge_attr,
            offers=torch.from_numpy(np.stack([each.row for each in forecasts])).float(),
            places=torch.tensor([names[each.slot] for each in offers]),
            seeds=torch.tensor([seeds.get(key, 0) for key in keys]),
            values=torch.tensor(values, dtype=torch.float32),
            doubts=torch.tensor(doubts, dtype=torch.float32),
            allowed=torch.tensor([not self._is_doubtful(each, observation) for each in doubts]),
        )

    def _is_doubtful(self, doubt: float, observation: Observation) -> bool:
        """Whether safety would refuse an offer for its uncertainty, as far as that is known yet."""
        is_known = self.rules.uncertainty != "dropout"
        return is_known and doubt > observation.max_uncertainty

    def uncertainties(self, situation: Situation, actions: Sequence[int]) -> list[float]:
        """Return the uncertainties of actions other than to wait, in [0, 1]."""
        if self.rules.uncertainty == "dropout":
            return list(map(self.learned.rank, spreads(self.judge, situation, actions)))
        return [float(situation.doubts[action - 1]) for action in actions]

    def _asked(self, observation: Observation, picked: _Request) -> Decision:
        action, said, uncertainty = picked.action, picked.said, picked.uncertainty
        chance = float(said.log_probs[0, action].exp())
        lead = float(said.ranks[0, action] - said.ranks[0, WAIT])
        names = [slot.spec.name for slot in observation.slots]
        spoke = ", ".join(f"'{names[place]}' {part:+.2g}" for place, part in picked.spoke)
        ranked = f"the network ranks it {lead:+.3g} over waiting with probability {chance:.2g}"
        reason = f"{self.words(picked.chosen[0])}; {ranked}"
        request = self.request(
            observation,
            picked.chosen,
            reason=f"{reason}, by the slots {spoke}" if spoke else reason,
            uncertainty=uncertainty,
        )
        risk = float(said.risks[action - 1].sigmoid())
        return replace(
            request,
            confidence=1 - uncertainty,
            urgency=min(1.0, 1 - float(said.log_probs[0, WAIT].exp())),
            risk=risk_of(observation, request.risk, risk),
        )

    def _why_not(
        self, observation: Observation, forecasts: Sequence[Forecast], said: Judgement | None
    ) -> str:
        if said is None or not bool(said.ranks[0, 1:].isfinite().any()):
            doubt, risk = observation.max_uncertainty, observation.max_risk
            limits = f"safety.max_uncertainty={doubt:g} or safety.max_risk={risk:g}"
            return f"every offer is beyond {limits}"
        ranks = said.ranks[0]
        best = int(ranks[1:].argmax())
        short = float(ranks[WAIT] - ranks[1 + best])
        if not self.reads_gains:
            untrained = " (it is untrained: policy.pretrained)" if short == 0 else ""
            return f"the network prefers to wait, by {short:.3g}{untrained}"
        return f"the network prefers to wait, by {short:.3g} ({self.words(forecasts[best])})"

    def state_dict(self) -> dict[str, Any]:
        """Return what `GainPolicy` does, the last probes and the digest of the network."""
        return {
            **super().state_dict(),
            "trends": self._trends.state_dict(),
            "network": self.learned.digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ConfigError: if it is the state of a policy with another model or network.
        """
        self.learned.check_digest(state["network"])
        super().load_state_dict(state)
        self._trends.load_state_dict(state["trends"])


class GNNPolicy(LearnedPolicy):
    """The policy of `GNN`."""

    name: ClassVar[str] = "gnn"


class HierarchicalPolicy(LearnedPolicy):
    """The policy of `Hierarchical`."""

    name: ClassVar[str] = "hierarchical"


class ActorCriticPolicy(LearnedPolicy):
    """The policy of `ActorCritic`."""

    name: ClassVar[str] = "actor_critic"
    reads_gains: ClassVar[bool] = False


POLICIES = {each.name: each for each in (GNNPolicy, HierarchicalPolicy, ActorCriticPolicy)}
"""The classes of learned policies."""


def build(rules: LearnedRules, rng_seed: int) -> LearnedPolicy:
    """Return the policy of an option; see `LearnedRules.build`."""
    model = rules.gain_model()
    return build_with(rules, model, learned_net(rules, model, rng_seed))


def build_with(rules: LearnedRules, model: GainModel, learned: LearnedNet) -> LearnedPolicy:
    """Return the policy of an option with a gain model and a network."""
    return POLICIES[rules.kind](rules, model, learned)
