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
    found = from_text(to_text(situation, 2, asked=0.0625))
    assert found.asked == 0.0625
    one = found.situation
    for name in ("run", "nodes", "edges", "edge_rows"):
        assert torch.equal(getattr(one, name), getattr(situation, name))
    for name in ("offers", "places", "seeds", "values", "doubts", "allowed"):
        assert torch.equal(getattr(one, name), getattr(situation, name)[1:2])
        assert getattr(one, name).dtype == getattr(situation, name).dtype


def test_a_graph_without_edges_is_read_again() -> None:
    lone = make_situation(0.5, slots=1, edges=torch.zeros(2, 0).long(), edge_rows=torch.ones(0, 2))
    one = from_text(to_text(lone, 1, asked=0.0)).situation
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
    assert len(to_text(situation, 1, asked=0.0)) < 3000


def packed(*numbers: float) -> str:
    data = np.array(numbers, np.dtype("<f2")).tobytes()
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("?", "a reading is damaged"),
        ("AAAA", "a reading is damaged"),
        (packed(0.0, float("nan")), "not finite"),
        (packed(0.0, 1.0), "a reading"),
        (packed(0.0, -5.0, 1.0), "a reading"),
        (packed(*([0.0] * 40)), "a reading"),
        ("", "a reading"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_text(text)
