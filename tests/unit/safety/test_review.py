"""The tables of rules, and the results of a review."""

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.stage import SeedStage
from esper.safety.decision_rules import DECISION_RULES
from esper.safety.options import Safety
from esper.safety.plan_rules import PLAN_RULES
from esper.safety.review import review
from tests.unit.policy.builders import make_observation, make_seed, make_slot


def test_each_rule_says_what_it_refuses_and_no_name_occurs_twice() -> None:
    on_decisions = {rule for rules in DECISION_RULES.values() for rule in rules}
    rules = (*on_decisions, *PLAN_RULES)
    assert all((rule.__doc__ or "").startswith("Refuse") for rule in rules)
    assert len({rule.__name__ for rule in rules}) == len(rules)


def test_each_decision_is_reviewed_beside_those_accepted_before_it() -> None:
    ripe = make_seed(SeedStage.PROBATIONARY, gain=None)
    observation = make_observation(slots=(make_slot(seeds=(ripe, make_seed())),))
    adapt = Decision(
        kind=DecisionKind.ADAPT, slot="block", adaptation=Adaptation.ADD_NEURONS, reason="a test"
    )
    keep = Decision(kind=DecisionKind.FOSSILIZE, slot="block", seed=0, reason="a test")
    cull = Decision(kind=DecisionKind.CULL, slot="block", seed=0, reason="a test")
    accepted, refusals = review([keep, cull, adapt], observation, Safety())
    assert accepted == [cull]
    assert [(refusal.rule, refusal.decision) for refusal in refusals] == [
        ("measured", keep),
        ("one_change_a_target", adapt),
    ]
    assert [refusal.plan for refusal in refusals] == [None, None]
