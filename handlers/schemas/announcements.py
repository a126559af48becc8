"""Announcements: input and output."""

from marshmallow import fields, validate

from handlers.schemas.fields import Choice, Flag, Id, Input, Output, Text, Timestamp


class NewAnnouncement(Input):
    title = Text(most=200, required=True)
    body = Text(most=5000, required=True)
    content_format = Choice("plain", "markdown", load_default="plain")
    is_pinned = Flag(load_default=False)


class AnnouncementChanges(Input):
    title = Text(most=200)
    body = Text(most=5000)
    content_format = Choice("plain", "markdown")
    is_pinned = Flag()


class Announcement(Output):
    id = Id()
    title = fields.String()
    body = fields.String()
    content_format = Choice("plain", "markdown")
    is_pinned = fields.Boolean()
    created_at = Timestamp()


class ReceivedAnnouncement(Announcement):
    is_read = fields.Boolean()


class UnreadCount(Output):
    unread_count = fields.Integer(validate=validate.Range(min=0))
