"""Exports of one's own data: how one stands, and the link that opens it."""

from marshmallow import fields

from handlers.schemas.fields import Choice, Input, Output, Secret, Timestamp


class Export(Output):
    status = Choice("pending", "ready", "failed")
    requested_at = Timestamp()
    expires_at = Timestamp(allow_none=True)
    size_bytes = fields.Integer(allow_none=True)


class ExportLink(Input):
    uid = Secret(most=64)
    token = Secret(most=256)
