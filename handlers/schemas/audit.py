"""The audit trail: what is asked of it, and its lines."""

from marshmallow import fields, validate

from handlers.schemas.fields import Id, Output, Timestamp
from handlers.schemas.lists import PageQuery

ACTION = r"[a-z]+\.[a-z_]+"


class AuditQuery(PageQuery):
    actor = fields.String(
        validate=validate.Regexp(r"[0-9]{1,16}\Z", error="A user's id is required."),
        metadata={"description": "Whose deeds: a user's id."},
    )
    what = fields.String(
        validate=validate.Regexp(rf"{ACTION}\Z", error="An action such as session.started is required."),
        metadata={"description": "Which deed, such as `session.started`."},
    )
    about = fields.String(
        validate=validate.Length(max=100, error="Ensure this field has no more than 100 characters."),
        metadata={"description": "What it was done to, such as `user:17`."},
    )
    before = fields.AwareDateTime(
        format="iso",
        error_messages={"invalid": "Use ISO 8601 with an offset, such as 2026-11-21T09:17:03.123Z."},
        metadata={"description": "Lines written before this time."},
    )


class AuditEntry(Output):
    id = Id()
    at = Timestamp()
    actor = Id(allow_none=True)
    origin = fields.String(
        metadata={"description": "The client's address, a terminal, or a part of the server."}
    )
    what = fields.String(metadata={"pattern": f"^{ACTION}$"})
    about = fields.String()
    details = fields.Dict()
