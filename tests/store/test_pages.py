"""Cursors and pages, as pure functions over a list that stands for a table."""

import base64
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.ids import MAX_ID
from store.pages import Cursor, Page, PageRequest, bounds, cut


def fetch(rows: list[int], request: PageRequest, *, newest_first: bool) -> Page[int]:
    """Do what the database does with the condition and the direction."""
    condition, direction = bounds(request, newest_first=newest_first)
    kept = [
        row
        for row in rows
        if ("$lt" not in condition or row < condition["$lt"])
        and ("$gt" not in condition or row > condition["$gt"])
    ]
    kept.sort(reverse=direction == -1)
    return cut(kept[: request.size + 1], request, lambda row: row)


@given(st.sets(st.integers(1, MAX_ID), max_size=60), st.integers(1, 7), st.booleans())
def test_pages_give_every_row_once_when_walked_forth_and_back(
    rows: set[int], size: int, newest_first: bool
) -> None:
    table = sorted(rows)
    expected = sorted(rows, reverse=newest_first)
    page = fetch(table, PageRequest(size), newest_first=newest_first)
    pages = [page]
    while page.next:
        page = fetch(table, PageRequest(size, page.next), newest_first=newest_first)
        pages.append(page)
    assert [row for each in pages for row in each.items] == expected
    back = [page]
    while page.previous:
        page = fetch(table, PageRequest(size, page.previous), newest_first=newest_first)
        if page.items:
            back.append(page)
    assert [row for each in reversed(back) for row in each.items] == expected


@given(
    st.lists(st.integers(1, 1000), min_size=10, unique=True), st.lists(st.integers(1001, 2000), unique=True)
)
def test_pages_neither_repeat_nor_hide_when_rows_arrive_between(rows: list[int], later: list[int]) -> None:
    first = fetch(rows, PageRequest(5), newest_first=True)
    second = fetch(rows + later, PageRequest(50, first.next), newest_first=True)
    expected = sorted(rows, reverse=True)[: 5 + 50]
    assert [*first.items, *second.items] == expected


@given(st.integers(1, MAX_ID), st.booleans())
def test_cursor_reads_what_it_wrote(number: int, backwards: bool) -> None:
    cursor = Cursor(number, backwards=backwards)
    assert Cursor.parse(str(cursor)) == cursor


@given(st.text("np0123456789abcdefABCDEF_+- xo.", max_size=18), st.sampled_from(["", "=", "\n"]))
@example("n1", "")
@example("p1f", "")
def test_cursor_refuses_or_round_trips_when_what_it_wraps_is_strange(raw: str, end: str) -> None:
    text = base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=") + end
    cursor = Cursor.parse(text)
    assert cursor is None or str(cursor) == text
    assert (cursor is not None) == (not end and is_canonical(raw))


def is_canonical(raw: str) -> bool:
    """As `Cursor` writes it: a direction, and a positive number in hex without zeros before it."""
    return bool(re.fullmatch("[np][1-9a-f][0-9a-f]*", raw)) and int(raw[1:], 16) <= MAX_ID


@pytest.mark.parametrize(
    "text", ["", "bg", "bjA", "bi0x", "eDE", "bjIwMDAwMDAwMDAwMDAwMDAw", "ｎ１", "a" * 5000]
)
def test_cursor_is_none_when_forged(text: str) -> None:
    assert Cursor.parse(text) is None
