"""Pictures: how they are asked for."""

from marshmallow import Schema, fields


class Width(Schema):
    """Documented here and read in ``handlers.media``."""

    w = fields.Integer(
        metadata={
            "description": "The width of a smaller version: 320, 640, 1280; 96, 320, 640 of a person's, square."
        }
    )
