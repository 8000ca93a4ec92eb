"""Numbers and sentences as people read them."""

import pytest

from esper.logger.format import spans, without_details


def test_words_that_differ_in_numbers_alone_agree() -> None:
    words = "'conv' in slot 'block2' needs 1.106e+05 FLOPs of the {} that 30 % of 1,226 leave, x {}"
    first, other = words.format("1.138e+04", "-0.5"), words.format("7", "+2")
    assert without_details(first) == without_details(other)
    assert "'block2' needs # FLOPs of the # that # % of # leave" in without_details(first)


def test_an_example_at_the_end_makes_no_difference() -> None:
    words = "no cautious net gain is above 0.02 ({} in 'b', net {})"
    first, other = words.format("mlp", "+0.01"), words.format("conv", "-0.3")
    assert without_details(first) == without_details(other) == "no cautious net gain is above #"


@pytest.mark.parametrize("name", ["block2", "'0'", "layers.0", "resnet18"])
def test_a_digit_of_a_name_is_no_number(name: str) -> None:
    assert without_details(f"slot {name} rests until 12") == f"slot {name} rests until #"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([], ""), ([7], "7"), ([9, 7, 8, 8, 12, 14, 15], "7 to 9, 12, 14 to 15")],
)
def test_epochs_in_a_row_are_one_span(numbers: list[int], words: str) -> None:
    assert spans(numbers) == words
