"""Accounts, log-ins, invites and trainees: input and output."""

from marshmallow import fields, validate

from handlers.schemas.devices import TOKEN
from handlers.schemas.fields import (
    Choice,
    Email,
    Flag,
    FutureTime,
    Id,
    ImageFile,
    Input,
    Kilograms,
    Output,
    Remembered,
    Secret,
    Text,
    Timestamp,
    TimeZone,
)
from store.records import ADMIN, AMBASSADOR, TRAINEE, TRAINER

NAME = 150


class Registration(Input):
    email = Email(required=True)
    password = Secret(most=1024)
    first_name = Text(most=NAME, required=True)
    last_name = Text(most=NAME, required=True)
    role = Choice(TRAINER, TRAINEE, required=True)
    timezone = TimeZone(load_default="UTC")
    invite_code = Text(most=64, allow_none=True, load_default=None)
    referral_code = Remembered(allow_none=True, load_default=None)


class Account(Output):
    id = Id()
    email = Email()
    first_name = fields.String()
    last_name = fields.String()
    role = Choice(ADMIN, TRAINER, TRAINEE, AMBASSADOR)
    parent_trainer = Id(allow_none=True)


class OwnAccount(Account):
    email_verified = fields.Boolean()
    profile_image = fields.String(allow_none=True)
    timezone = fields.String()
    auto_post_workouts = fields.Boolean()
    goal_weight_kg = fields.Float(allow_none=True)
    leaderboard_opt_in = fields.Boolean()
    created_at = Timestamp()


class AccountChanges(Input):
    first_name = Text(most=NAME)
    last_name = Text(most=NAME)
    timezone = TimeZone()
    auto_post_workouts = Flag()
    goal_weight_kg = Kilograms(allow_none=True)


class ProfileImageForm(Input):
    image = ImageFile(
        "At most 2 MB and 4096 x 4096: JPEG, PNG or WebP, by name, type and content.", required=True
    )


class CurrentPassword(Input):
    current_password = Secret(most=1024)


class PasswordChange(CurrentPassword):
    new_password = Secret(most=1024)


class EmailChange(CurrentPassword):
    new_email = Email(required=True)


class MailedLink(Input):
    uid = Secret(most=64)
    token = Secret(most=256)


class PasswordReset(Input):
    email = Email(required=True)


class PasswordResetConfirmation(MailedLink):
    new_password = Secret(most=1024)


class Credentials(Input):
    # Any text: an address that could not exist is answered like one that does not.
    email = Secret(most=1024)
    password = Secret(most=1024)


class RefreshToken(Input):
    refresh = Secret()


class Logout(RefreshToken):
    # The phone that logs out: it gets no more pushes.
    device_token = Text(most=TOKEN, least=0, allow_none=True, load_default=None)


class AnyToken(Input):
    token = Secret()


class TokenPair(Output):
    access = fields.String()
    refresh = fields.String()


class Empty(Output):
    """An empty object."""


class NewInvite(Input):
    expires_at = FutureTime(allow_none=True, load_default=None)
    max_uses = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        validate=validate.Range(min=1, max=10_000, error="Must be from 1 to 10000."),
        error_messages={"invalid": "A valid integer is required."},
    )
    email = Email(allow_none=True, load_default=None)


class Invite(Output):
    id = Id()
    code = fields.String()
    expires_at = Timestamp(allow_none=True)
    max_uses = fields.Integer(allow_none=True)
    uses = fields.Integer()
    is_active = fields.Boolean()
    created_at = Timestamp()


class Trainee(Output):
    id = Id()
    email = Email()
    first_name = fields.String()
    last_name = fields.String()
    profile_image = fields.String(allow_none=True)
    joined_at = Timestamp(allow_none=True)
