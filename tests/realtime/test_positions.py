"""Positions as text: what `str` writes is read back, everything else is refused.
What a position is used for is tested with the hub.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import MAX_SEQ, Position

EPOCHS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=16)


@given(EPOCHS, st.integers(0, MAX_SEQ))
def test_position_when_written_is_read_back(epoch, seq):
    position = Position(epoch, seq)
    assert Position.parse(str(position)) == position


@given(EPOCHS, st.text("0123456789٣x+-_ .\n", max_size=18))
def test_position_when_its_number_is_unusual_is_canonical_or_none(epoch, number):
    text = f"{epoch}.{number}"
    position = Position.parse(text)
    assert position is None or (str(position) == text and 0 <= position.seq <= MAX_SEQ)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a",
        "a.",
        ".1",
        "a.01",
        "a.-1",
        "a.+1",
        "a.1 ",
        " a.1",
        "a.1\n",
        "a.1.2",
        "A.1",
        "é.1",
        "a.١",
        "a.1e3",
        "a" * 17 + ".1",
        f"a.{MAX_SEQ + 1}",
        "a." + "9" * 400,
        "a.\x001",
    ],
)
def test_position_when_malformed_is_none(text):
    assert Position.parse(text) is None


def test_position_at_the_limits_is_read():
    assert Position.parse("a.0") == Position("a", 0)
    assert Position.parse("z" * 16 + f".{MAX_SEQ}") == Position("z" * 16, MAX_SEQ)
