"""The training log and the leaderboards: input and output."""

from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import ValidationError, fields, validate

from community.leaderboards import METRICS, PERIODS
from handlers.schemas.fields import REQUIRED, Choice, Day, Flag, Id, Input, Kilograms, Output, Timestamp
from handlers.schemas.lists import PageQuery

# Of the canonical text, in UTF-8: a workout of 100 sets takes about 8 KB.
MAX_OBJECT_BYTES = 64 * 1024


class JsonObject(fields.Field[str]):
    """A JSON object of the client's own making; it becomes canonical text, whose names never reach the database."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            metadata={"type": "object"},
            error_messages={**REQUIRED, "invalid": "Must be an object."},
            **options,
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        found: object = super()._deserialize(value, attr, data, **kwargs)
        if not isinstance(found, dict):
            raise self.make_error("invalid", input=value)
        text = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
        if len(text) > MAX_OBJECT_BYTES:
            raise ValidationError(f"Ensure this field has no more than {MAX_OBJECT_BYTES} bytes.")
        return text.decode()


class DailyLogChanges(Input):
    """Fields that are left out stay as they are; null takes one away."""

    workout_data = JsonObject(allow_none=True)
    nutrition_data = JsonObject(allow_none=True)
    weight_kg = Kilograms(allow_none=True)


class DailyLog(Output):
    date = Day()
    workout_data = fields.Dict(allow_none=True)
    nutrition_data = fields.Dict(allow_none=True)
    weight_kg = fields.Float(allow_none=True)
    created_at = Timestamp()
    updated_at = Timestamp()


class DailyLogQuery(PageQuery):
    since = Day(data_key="from", metadata={"description": "The first day to list."})
    until = Day(data_key="to", metadata={"description": "The last day to list."})


class LeaderboardQuery(Input):
    metric = Choice(*METRICS, required=True)
    period = Choice(*PERIODS, required=True)


class LeaderboardEntry(Output):
    rank = fields.Integer(validate=validate.Range(min=1))
    user_id = Id()
    first_name = fields.String()
    last_name = fields.String()
    profile_image = fields.String(allow_none=True)
    value = fields.Integer(validate=validate.Range(min=1), metadata={"description": "Days."})


class Leaderboard(Output):
    metric = Choice(*METRICS)
    period = Choice(*PERIODS)
    enabled = fields.Boolean(metadata={"description": "Whether the group's trainer has switched it on."})
    entries = fields.List(fields.Nested(LeaderboardEntry))
    me = fields.Nested(LeaderboardEntry, allow_none=True)


class LeaderboardSettingsQuery(Input):
    include = Choice("all", metadata={"description": "`all` lists those of all time, too."})


class NewLeaderboardSetting(Input):
    metric_type = Choice(*METRICS, required=True)
    time_period = Choice(*PERIODS, required=True)
    is_enabled = Flag(required=True)


class LeaderboardSetting(Output):
    metric_type = Choice(*METRICS)
    time_period = Choice(*PERIODS)
    is_enabled = fields.Boolean()


class NewLeaderboardOptIn(Input):
    leaderboard_opt_in = Flag(required=True)


class LeaderboardOptIn(Output):
    leaderboard_opt_in = fields.Boolean()
