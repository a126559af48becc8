"""Fields that several schemas share, with messages in Django REST Framework's words."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import available_timezones

from marshmallow import RAISE, Schema, ValidationError, fields, validate

REQUIRED = {"required": "This field is required.", "null": "This field may not be null."}
# Controls, formats (such as U+200B), separators: words made of nothing else show nothing.
INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Two names of the database are no places: one means "not set", one whatever the server's machine is set to.
TIME_ZONES = frozenset(available_timezones()) - {"Factory", "localtime"}


class Input(Schema):
    """Base of what comes in: a field that is not known is refused by name."""

    class Meta:
        unknown = RAISE


class Output(Schema):
    """Base of what goes out; it only documents and is never loaded."""


class Text(fields.String):
    """Text without space around it, with between ``least`` and ``most`` characters."""

    def __init__(self, *, most: int, least: int = 1, **options: Any) -> None:
        self._least = least
        error = f"Ensure this field has no more than {most} characters."
        super().__init__(
            validate=[validate.Length(min=least or None), validate.Length(max=most, error=error)],
            error_messages={**REQUIRED, "invalid": "Not a valid string."},
            **options,
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs).strip()
        if self._least and all(unicodedata.category(each) in INVISIBLE for each in text):
            raise ValidationError("This field may not be blank.")
        return text


class Secret(fields.String):
    """A password or token as typed: spaces count. Length is judged by the operation, up to a sane bound."""

    def __init__(self, *, most: int = 4096, **options: Any) -> None:
        error = f"Ensure this field has no more than {most} characters."
        super().__init__(
            required=True,
            validate=[
                validate.Length(min=1, error="This field may not be blank."),
                validate.Length(max=most, error=error),
            ],
            error_messages={**REQUIRED, "invalid": "Not a valid string."},
            **options,
        )


class Email(fields.Email):
    """An address of at most 254 characters (RFC 5321, 4.5.3.1.3)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            validate=validate.Length(max=254, error="Ensure this field has no more than 254 characters."),
            error_messages={**REQUIRED, "invalid": "Enter a valid email address."},
            **options,
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        if isinstance(value, str):
            value = value.strip()
        return super()._deserialize(value, attr, data, **kwargs)


class Choice(fields.String):
    """One of a few words."""

    def __init__(self, *choices: str, **options: Any) -> None:
        said = '"{input}" is not a valid choice.'
        super().__init__(
            validate=validate.OneOf(choices, error=said),
            error_messages={**REQUIRED, "invalid": "Not a valid string."},
            **options,
        )


class Remembered(fields.Raw):
    """Text that is kept for later and must never stop anybody: cut at 64 characters, and nothing if it is no text."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str | None:
        found = super()._deserialize(value, attr, data, **kwargs)
        return found.strip()[:64] or None if isinstance(found, str) else None


class ImageFile(fields.Raw):
    """The image of a form, as ``handlers.forms`` has read it."""

    def __init__(self, says: str, **options: Any) -> None:
        super().__init__(
            error_messages={"required": "No file was submitted."},
            metadata={"type": "string", "format": "binary", "description": says},
            **options,
        )


class TimeZone(fields.String):
    """A name of the IANA time zone database."""

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages={**REQUIRED, "invalid": "Not a valid string."}, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        name: str = super()._deserialize(value, attr, data, **kwargs)
        if name not in TIME_ZONES:
            raise ValidationError("Not a time zone. Use a name such as Europe/Vienna.")
        return name


class Flag(fields.Boolean):
    """JSON true or false and nothing that looks like it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages={**REQUIRED, "invalid": "Must be a valid boolean."}, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        found: bool = super()._deserialize(value, attr, data, **kwargs)
        return found


class FutureTime(fields.AwareDateTime):
    """A time to come, in UTC and whole milliseconds."""

    def __init__(self, **options: Any) -> None:
        said = "Use ISO 8601 with an offset, such as 2026-11-21T09:17:03.123Z."
        super().__init__(
            format="iso",
            error_messages={**REQUIRED, "invalid": said},
            **options,
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        found: datetime = super()._deserialize(value, attr, data, **kwargs)
        try:
            found = found.astimezone(UTC)
        except (OverflowError, ValueError) as error:
            raise self.make_error("invalid", input=value) from error
        if found <= datetime.now(UTC):
            raise ValidationError("Must be in the future.")
        return found.replace(microsecond=found.microsecond // 1000 * 1000)


class Day(fields.Date):
    """A date, ``2026-11-21`` and no other form of it."""

    def __init__(self, **options: Any) -> None:
        said = "Not a date. Use YYYY-MM-DD."
        super().__init__(format="iso", error_messages={**REQUIRED, "invalid": said}, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> date:
        # By itself it takes weeks and what has no dashes, too.
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        found: date = super()._deserialize(value, attr, data, **kwargs)
        return found


class Kilograms(fields.Float):
    """A person's weight."""

    # Wide enough for anybody alive, narrow enough to catch pounds in grams.
    LIGHTEST, HEAVIEST = 20, 500

    def __init__(self, **options: Any) -> None:
        error = f"Must be from {self.LIGHTEST} to {self.HEAVIEST} kilograms."
        super().__init__(
            allow_nan=False,
            validate=validate.Range(min=self.LIGHTEST, max=self.HEAVIEST, error=error),
            error_messages={**REQUIRED, "invalid": "A valid number is required."},
            **options,
        )


class Id(fields.Integer):
    """An id as it goes out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=1, max=2**53 - 1), **options)


class Timestamp(fields.String):
    """A time as it goes out: ``2026-11-21T09:17:03.123Z``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"format": "date-time"}, **options)
