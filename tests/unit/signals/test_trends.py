import json

from esper.signals.trends import HealthTrends
from tests.unit.signals.graphs import make_health, observed


def test_the_probe_before_the_last_is_returned() -> None:
    trends = HealthTrends()
    early, late, later = (make_health(epoch) for epoch in (3, 6, 9))
    assert trends.update(observed(early, None, None)) == {}
    assert trends.update(observed(late, early, None)) == {"first": early}
    assert trends.update(observed(later, late, None)) == {"first": late, "second": early}


def test_a_probe_seen_twice_counts_once() -> None:
    trends = HealthTrends()
    trends.update(observed(make_health(3), None, None))
    trends.update(observed(make_health(6), None, None))
    for _ in range(3):
        again = trends.update(observed(make_health(6), None, None))
    assert again == {"first": make_health(3)}


def test_an_epoch_without_a_probe_changes_nothing() -> None:
    trends = HealthTrends()
    trends.update(observed(make_health(3), None, None))
    trends.update(observed(None, None, None))
    assert trends.update(observed(make_health(6), None, None)) == {"first": make_health(3)}


def test_the_state_survives_json() -> None:
    trends, other = HealthTrends(), HealthTrends()
    trends.update(observed(make_health(3), make_health(3, dead_units=None), None))
    other.load_state_dict(json.loads(json.dumps(trends.state_dict())))
    now = observed(make_health(6), make_health(6), make_health(6))
    assert other.update(now) == trends.update(now)
    assert other.state_dict() == trends.state_dict()
