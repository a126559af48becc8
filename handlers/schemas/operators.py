"""What the operators' endpoints answer."""

from marshmallow import fields

from handlers.schemas.fields import Choice, Output


class Health(Output):
    status = Choice("ok")


class Readiness(Output):
    status = Choice("ready", "degraded", "unavailable")
    missing = fields.List(
        Choice("draining", "database", "redis"),
        allow_none=True,
        metadata={"description": "`null` where details are told to operators alone, at another address."},
    )


class OpenApi(Output):
    openapi = fields.String()
    info = fields.Dict()
    paths = fields.Dict()
    components = fields.Dict()
    tags = fields.List(fields.Dict())
    servers = fields.List(fields.Dict())
