"""Every record is one line of valid JSON, also with NaN and infinities."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.event import Check, Event, Gate, Judgement
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.plan import Plan
from esper.logger.serialise import event_record, now, plain, to_line


def test_a_move_is_flat_and_its_gate_says_whether_it_passed(move: Any) -> None:
    failed = Check(name="gradient", passed=False, value=math.nan, limit="> 0")
    event = move(epoch=7, gate=Gate(checks=(failed,)))
    assert event_record(event, "2026-01-01T00:00:00+00:00") == {
        "time": "2026-01-01T00:00:00+00:00",
        "epoch": 7,
        "kind": "lifecycle",
        "slot": "block2",
        "seed": 1,
        "blueprint": "lora",
        "from_stage": "TRAINING",
        "to_stage": "BLENDING",
        "gate": {
            "passed": False,
            "checks": [{"name": "gradient", "passed": False, "value": None, "limit": "> 0"}],
        },
        "reason": "gate passed",
    }


def test_a_move_without_gate_says_so(move: Any) -> None:
    assert event_record(move(gate=None), now())["gate"] is None


def test_the_kind_of_a_body_does_not_hide_the_kind_of_its_event() -> None:
    decision = Decision(kind=DecisionKind.ADAPT, reason="r", adaptation=Adaptation.ADD_LAYER)
    record = event_record(Event(epoch=1, body=decision), now())
    assert (record["kind"], record["decision_kind"]) == ("decision", "adapt")
    assert record["adaptation"] == "add_layer"
    plan = Plan(slot="a", kind="replace", changes=(), reasoning="r")
    record = event_record(Event(epoch=1, body=plan), now())
    assert (record["kind"], record["plan_kind"], record["changes"]) == ("plan", "replace", [])


def test_a_judgement_holds_its_outcome_and_its_reward() -> None:
    outcome = Outcome(
        slot="a",
        seed=0,
        slot_kind="dense",
        placement="series",
        blueprint="mlp",
        activation=1,
        germinated_epoch=3,
        settled_epoch=9,
        fossilized=True,
        gain=math.inf,
        gain_error=None,
        ablation=0.1,
    )
    body = Judgement(outcome=outcome, reward=Reward(total=0.5, components={"cost": 0.1}))
    record = event_record(Event(epoch=9, body=body), now())
    assert record["outcome"]["slot"] == "a"
    assert record["outcome"]["gain"] is None
    assert record["reward"]["components"] == {"cost": 0.1}


def test_time_is_in_utc() -> None:
    time = datetime.fromisoformat(now())
    assert time.tzinfo == UTC
    assert abs((datetime.now(UTC) - time).total_seconds()) < 5


def test_numbers_of_numpy_become_plain() -> None:
    values = plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.float64("nan"), "d": {2, 1}})
    assert values == {"a": 0.5, "b": 3, "c": None, "d": [1, 2]}
    assert type(values["b"]) is int


def test_a_value_without_a_plain_form_is_refused_by_name() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: object

    with pytest.raises(TypeError, match=r"cannot hold a object"):
        plain(Odd(object()))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), VALUES))
def test_any_record_is_one_line_of_strict_json(record: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    written = to_line(record)
    assert written.endswith("\n")
    assert written.count("\n") == 1
    json.loads(written, parse_constant=refuse)
