"""Lists: reading ``page_size`` and ``cursor``, and writing ``next`` and ``previous``."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from handlers.base import ApiHandler
from handlers.errors import InvalidCursor
from store.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Cursor, Page, PageRequest


def page_request(handler: ApiHandler) -> PageRequest:
    """Give the page asked for. As in Django REST Framework a bad size means the default and a large one the
    most; a cursor that this server did not write raises ``InvalidCursor``.
    """
    text = handler.get_query_argument("page_size", "")
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    cursor_text = handler.get_query_argument("cursor", "")
    cursor = Cursor.parse(cursor_text) if cursor_text else None
    if cursor_text and cursor is None:
        raise InvalidCursor
    return PageRequest(size=min(size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE, cursor=cursor)


def listed(
    handler: ApiHandler,
    page: Page[Mapping[str, object]],
    request: PageRequest,
    *,
    count: int | None = None,
    keep: Sequence[str] = (),
) -> dict[str, object]:
    """Give a page in the contract's shape; ``count`` only where it is known without counting.

    The neighbours are asked for with those parameters of this request that ``keep`` names.
    """

    def link(cursor: Cursor | None) -> str | None:
        if cursor is None:
            return None
        query: dict[str, object] = {"cursor": str(cursor)}
        if request.size != DEFAULT_PAGE_SIZE:
            query["page_size"] = request.size
        query |= {name: value for name in keep if (value := handler.get_query_argument(name, ""))}
        return f"{handler.base_url}{handler.request.path}?{urlencode(query)}"

    known = {} if count is None else {"count": count}
    return {**known, "next": link(page.next), "previous": link(page.previous), "results": page.items}
