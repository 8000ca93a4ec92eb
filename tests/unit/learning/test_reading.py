"""What a network read, as a text and back."""

import base64
import zlib

import numpy as np
import pytest
import torch

from esper.learning.reading import from_text, to_text
from tests.unit.learning.situations import make_situation


def test_a_reading_holds_the_offer_that_was_taken_and_the_whole_graph() -> None:
    situation = make_situation(0.5, -0.25, 0.125, slots=2)
    found = from_text(to_text(situation, 2, asked=0.0625, gain_model="abc"))
    assert (found.asked, found.gain_model) == (0.0625, "abc")
    assert found.columns == (2, 3, 2, 2)
    one = found.situation
    for name in ("run", "nodes", "edges", "edge_rows"):
        assert torch.equal(getattr(one, name), getattr(situation, name))
    for name in ("offers", "places", "seeds", "values", "doubts", "allowed"):
        assert torch.equal(getattr(one, name), getattr(situation, name)[1:2])
        assert getattr(one, name).dtype == getattr(situation, name).dtype


def test_a_graph_without_edges_is_read_again() -> None:
    lone = make_situation(0.5, slots=1, edges=torch.zeros(2, 0).long(), edge_rows=torch.ones(0, 2))
    one = from_text(to_text(lone, 1, asked=0.0, gain_model="abc")).situation
    assert one.edges.shape == (2, 0)
    assert one.edge_rows.shape == (0, 2)


def test_a_text_is_a_few_kilobytes() -> None:
    generator = torch.Generator().manual_seed(0)
    situation = make_situation(
        0.5,
        run=torch.rand(35, generator=generator),
        nodes=torch.rand(12, 47, generator=generator),
        edges=torch.randint(12, (2, 24), generator=generator),
        edge_rows=torch.rand(24, 8, generator=generator),
        offers=torch.rand(1, 79, generator=generator),
    )
    assert len(to_text(situation, 1, asked=0.0, gain_model="abc")) < 3000


def test_what_is_compared_with_gains_keeps_its_precision() -> None:
    situation = make_situation(1 / 3, doubts=torch.tensor([0.1]))
    found = from_text(to_text(situation, 1, asked=1000.123, gain_model="abc"))
    assert found.asked == pytest.approx(1000.123, abs=1e-4)
    assert torch.equal(found.situation.values, situation.values)
    huge = make_situation(0.5, offers=torch.tensor([[1e30, -1e30]]))
    rows = from_text(to_text(huge, 1, asked=0.0, gain_model="abc")).situation.offers
    assert rows.tolist() == [[65504.0, -65504.0]]


def packed(*numbers: float) -> str:
    data = np.array(numbers, np.dtype("<f4")).tobytes()
    return "abc:" + base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abc:?", "a reading is damaged"),
        ("abc:AAAA", "a reading is damaged"),
        (packed(0.0, float("nan")), "not finite"),
        (packed(0.0, 1.0), "too few numbers"),
        (packed(0.0, -5.0, 1.0), "run of shape"),
        (packed(*([0.0] * 40)), "bytes too many"),
        ("", "a reading is damaged"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_text(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"edges": torch.tensor([[0], [2]])},
        {"edges": torch.tensor([[-1], [0]])},
        {"places": torch.tensor([2])},
        {"places": torch.tensor([-1])},
        {"edge_rows": torch.ones(2, 2)},
        {"edges": torch.zeros(3, 1).long()},
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changes: dict[str, torch.Tensor]) -> None:
    text = to_text(make_situation(0.5, **changes), 1, asked=0.0, gain_model="abc")
    with pytest.raises(ValueError, match="parts that do not fit"):
        from_text(text)
