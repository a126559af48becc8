"""Device tokens: input and output."""

from marshmallow import fields

from handlers.schemas.fields import Choice, Id, Input, Output, Text
from store.records import PLATFORMS

# The contract's; FCM's own have some 160.
TOKEN = 512


class KnownDeviceToken(Input):
    token = Text(most=TOKEN, required=True)


class NewDeviceToken(KnownDeviceToken):
    platform = Choice(*PLATFORMS, required=True)


class DeviceToken(Output):
    id = Id()
    token = fields.String()
    platform = Choice(*PLATFORMS)
    is_active = fields.Boolean()
