"""Achievements: output."""

from marshmallow import fields, validate

from handlers.schemas.fields import Id, Output, Timestamp


class Achievement(Output):
    id = Id()
    name = fields.String()
    description = fields.String()
    criteria_type = fields.String()
    criteria_value = fields.Integer(validate=validate.Range(min=1))
    earned = fields.Boolean()
    earned_at = Timestamp(allow_none=True)
    progress = fields.Float(validate=validate.Range(min=0, max=1))
