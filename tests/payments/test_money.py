"""Amounts and rates: exact in both directions, half up, never a cent more back than was given."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from payments.money import MAX_CENTS, amount_text, cents_of, rate_of, rate_text, share

CENTS = some.integers(-MAX_CENTS + 1, MAX_CENTS - 1)
RATES = some.decimals(0, 1, places=4)


@given(CENTS)
def test_amount_is_read_as_it_was_written(cents: int) -> None:
    assert cents_of(amount_text(cents)) == cents
    assert Decimal(amount_text(cents)) * 100 == cents


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (12_900, "129.00"), (-12_999, "-129.99")]
)
def test_amount_has_two_places(cents: int, text: str) -> None:
    assert amount_text(cents) == text


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "1.000", "1,00", " 1.00", "1.00 ", "+1.00", "1e2", "NaN", "٣.٠٠", "1" * 12 + ".00"],
)
def test_amount_is_refused_when_written_otherwise(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        cents_of(text)


@given(RATES)
def test_rate_is_read_as_it_was_written(rate: Decimal) -> None:
    text = rate_text(rate)
    assert rate_of(text) == rate
    assert len(text.partition(".")[2]) >= 2


@pytest.mark.parametrize(
    ("rate", "text"), [("0", "0.00"), ("0.2", "0.20"), ("0.1250", "0.125"), ("1", "1.00")]
)
def test_rate_has_two_places_or_those_it_needs(rate: str, text: str) -> None:
    assert rate_text(rate_of(rate)) == text


@pytest.mark.parametrize("text", ["", "2", "1.1", "-0.1", "0.12345", ".5", "0,5", "1e-1", "NaN", "Infinity"])
def test_rate_is_refused_when_it_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        rate_of(text)


@given(CENTS, RATES)
def test_share_is_the_exact_product_half_up(cents: int, rate: Decimal) -> None:
    exact = Fraction(abs(cents)) * Fraction(rate)
    taken = share(cents, rate)
    assert abs(Fraction(abs(taken)) - exact) <= Fraction(1, 2)
    assert abs(taken) == int((exact + Fraction(1, 2)) // 1)
    assert share(-cents, rate) == -taken
    assert abs(taken) <= abs(cents)


@pytest.mark.parametrize(
    ("cents", "rate", "taken"),
    [(12_900, "0.20", 2_580), (5, "0.10", 1), (4, "0.10", 0), (-5, "0.10", -1), (333, "0.5", 167)],
)
def test_half_a_cent_goes_up(cents: int, rate: str, taken: int) -> None:
    assert share(cents, rate_of(rate)) == taken
    assert Decimal(abs(cents) * Decimal(rate)).quantize(Decimal(1), ROUND_HALF_UP) == abs(taken)


@given(some.lists(some.integers(0, 10**9), min_size=1, max_size=8), RATES)
def test_parts_taken_back_never_exceed_the_whole_by_more_than_their_rounding(
    parts: list[int], rate: Decimal
) -> None:
    taken = sum(share(-part, rate) for part in parts)
    assert abs(taken + share(sum(parts), rate)) <= len(parts)
