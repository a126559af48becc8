"""Pages of anything, and the query that asks for one."""

from typing import Any

from marshmallow import Schema, fields

from handlers.schemas.fields import Output
from store.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE


class PageQuery(Schema):
    """Documented here and read in ``handlers.paging``."""

    page_size = fields.Integer(
        metadata={"minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
    )
    cursor = fields.String(metadata={"description": "Opaque, from `next` or `previous`."})


def page_of(item: type[Output], *, counted: bool = False) -> Schema:
    """Give the schema of a page of ``item``."""
    count: dict[str, fields.Field[Any]] = {"count": fields.Integer()} if counted else {}
    made = Schema.from_dict(
        {
            **count,
            "next": fields.String(allow_none=True),
            "previous": fields.String(allow_none=True),
            "results": fields.List(fields.Nested(item)),
        },
        name=f"{item.__name__}Page",
    )
    return made()
