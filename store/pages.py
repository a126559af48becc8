"""Keyset pages: a page starts where the last one ended, by id, so page 5,000 costs what page 1 costs.

Cursors are opaque text for clients and carry a direction and an id, never a tenant: whoever forges one only
moves within what they may read anyway. What a page shows is not decided here.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from store.database import Document, Table
from store.ids import MAX_ID

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 50

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The edge to continue from: rows after ``id`` in the list's order, or before it going back."""

    id: int
    backwards: bool = False

    def __str__(self) -> str:
        raw = ("p" if self.backwards else "n") + format(self.id, "x")
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """Give the cursor, or None for anything that ``str(cursor)`` would not have written."""
        if not 1 <= len(text) <= 24 or not text.isascii():
            return None
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            found = cls(int(raw[1:], 16), backwards=raw[0] == "p")
        except (binascii.Error, ValueError, IndexError):
            return None
        return found if str(found) == text and 0 < found.id <= MAX_ID else None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the caller asked for: at most ``size`` rows from ``cursor`` on."""

    size: int = DEFAULT_PAGE_SIZE
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """Some rows in the list's order and the cursors of its neighbours (None at an end)."""

    items: tuple[T_co, ...]
    next: Cursor | None
    previous: Cursor | None

    def map(self, convert: Callable[[T_co], U]) -> "Page[U]":
        return Page(tuple(convert(item) for item in self.items), self.next, self.previous)


async def read_page(
    table: Table,
    where: Mapping[str, object],
    request: PageRequest,
    *,
    newest_first: bool,
    record: Callable[[Document], T],
    id_of: Callable[[T], int],
    key: str = "_id",
) -> Page[T]:
    """Give a page of the documents that match, as records, by one query on the index of ``where`` and ``key``.

    ``key`` is the field whose unique positive integers order the list; ``id_of`` gives it of a record.
    """
    condition, direction = bounds(request, newest_first=newest_first)
    if condition:
        where = {**where, key: condition}
    documents = await table.find(where, sort=[(key, direction)], limit=request.size + 1)
    return cut([record(document) for document in documents], request, id_of)


def bounds(request: PageRequest, *, newest_first: bool) -> tuple[dict[str, int], int]:
    """Give the condition on the key and the direction of the sort that fetch this page (plus one row)."""
    cursor = request.cursor
    descending = newest_first != (cursor is not None and cursor.backwards)
    condition = {} if cursor is None else {"$lt" if descending else "$gt": cursor.id}
    return condition, -1 if descending else 1


def cut(rows: Sequence[T], request: PageRequest, id_of: Callable[[T], int]) -> Page[T]:
    """Make the page out of up to ``size + 1`` rows as ``bounds`` fetched them; the extra row tells of more."""
    backwards = request.cursor is not None and request.cursor.backwards
    more = len(rows) > request.size
    kept = list(rows[: request.size])
    if backwards:
        kept.reverse()
    if not kept:
        return Page((), None, None)
    has_next = backwards or more
    has_previous = more if backwards else request.cursor is not None
    return Page(
        tuple(kept),
        Cursor(id_of(kept[-1])) if has_next else None,
        Cursor(id_of(kept[0]), backwards=True) if has_previous else None,
    )
