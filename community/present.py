"""How records look to clients: the one place where a record becomes JSON, for REST and for live events alike.

Values are plain dictionaries in the contract's order of fields, written by hand: a schema library takes fifty
times as long for a page of posts. A test holds them against the published schemas.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from store.achievements import Achievement, Award
from store.audit import AuditEntry
from store.daily_logs import DailyLog
from store.exports import FAILED, READY, Export
from store.records import Announcement, Comment, DeviceToken, Image, Invite, Post, Reaction, User
from store.training import Contender

Json = dict[str, object]
Author = Mapping[str, object]


# Begins an address on this server, until an answer or an event goes out (see ``addressed``): what is kept in memory and
# in the database holds for every address that the server is asked under. Nobody's text can look like it, since the
# reader of bodies refuses NUL.
HERE = "\0"
_HERE_IN_JSON = b'"\\u0000/'


def addressed(body: bytes, base_url: str) -> bytes:
    """Give JSON with whole addresses in it, starting with ``base_url``."""
    if _HERE_IN_JSON not in body:
        return body
    return body.replace(_HERE_IN_JSON, orjson.dumps(base_url)[:-1] + b"/")


def image_url(image: Image | None) -> str | None:
    return None if image is None else f"{HERE}/media/{image.name}"


def image_variants(image: Image | None) -> list[Json]:
    """Give the smaller versions, the smallest first, in the proportions of the whole."""
    if image is None:
        return []
    return [
        {
            "width": width,
            "height": max(1, round(image.height * width / image.width)),
            "url": f"{HERE}/media/{image.name}?w={width}",
        }
        for width in image.variant_widths
    ]


def timestamp(at: datetime) -> str:
    """ISO 8601, UTC, milliseconds, ``Z``. ``at`` must be aware and in UTC, as the store gives it."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def optional_timestamp(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)


def author(user: User | None, user_id: int) -> Author:
    """Give a person as others see them. Somebody erased, or never known, is "Deleted user"."""
    if user is None or not user.is_active:
        return {"id": user_id, "first_name": "Deleted", "last_name": "user", "profile_image": None}
    return {
        "id": user.id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "profile_image": image_url(user.profile_image),
    }


def account(user: User) -> Json:
    """Give an account as registration answers it."""
    return {
        "id": user.id,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "role": user.role,
        "parent_trainer": user.parent_trainer,
    }


def own_account(user: User) -> Json:
    """Give an account as its owner sees it."""
    return {
        **account(user),
        "email_verified": user.email_verified,
        "profile_image": image_url(user.profile_image),
        "timezone": user.timezone,
        "auto_post_workouts": user.auto_post_workouts,
        "goal_weight_kg": user.goal_weight_kg,
        "leaderboard_opt_in": user.leaderboard_opt_in,
        "created_at": timestamp(user.created_at),
    }


def trainee(user: User) -> Json:
    """Give a trainee as their trainer sees them."""
    return {
        "id": user.id,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "profile_image": image_url(user.profile_image),
        "joined_at": optional_timestamp(user.joined_group_at),
    }


def invite(record: Invite, now: datetime) -> Json:
    used_up = record.max_uses is not None and record.uses >= record.max_uses
    expired = record.expires_at is not None and record.expires_at <= now
    return {
        "id": record.id,
        "code": record.code,
        "expires_at": optional_timestamp(record.expires_at),
        "max_uses": record.max_uses,
        "uses": record.uses,
        "is_active": record.revoked_at is None and not used_up and not expired,
        "created_at": timestamp(record.created_at),
    }


def device_token(record: DeviceToken) -> Json:
    return {
        "id": record.id,
        "token": record.token,
        "platform": record.platform,
        "is_active": record.is_active,
    }


def post(record: Post, by: Author, own_reactions: Sequence[str]) -> Json:
    return {
        "id": record.id,
        "author": by,
        "content": record.content,
        "content_format": record.content_format,
        "post_type": record.post_type,
        "image_url": image_url(record.image),
        "image_width": record.image and record.image.width,
        "image_height": record.image and record.image.height,
        "image_variants": image_variants(record.image),
        "reactions": record.reactions,
        "user_reactions": own_reactions,
        "comment_count": record.comment_count,
        "created_at": timestamp(record.created_at),
    }


def comment(record: Comment, by: Author) -> Json:
    return {
        "id": record.id,
        "author": by,
        "content": record.content,
        "created_at": timestamp(record.created_at),
    }


def reaction(record: Reaction, by: Author) -> Json:
    return {"user": by, "reaction_type": record.reaction_type, "created_at": timestamp(record.created_at)}


def announcement(record: Announcement) -> Json:
    """Give an announcement as its trainer sees it."""
    return {
        "id": record.id,
        "title": record.title,
        "body": record.body,
        "content_format": record.content_format,
        "is_pinned": record.is_pinned,
        "created_at": timestamp(record.created_at),
    }


def received_announcement(record: Announcement, read_up_to: int) -> Json:
    """Give an announcement as a trainee sees it who has read those numbered up to ``read_up_to``."""
    return {**announcement(record), "is_read": record.number <= read_up_to}


def daily_log(record: DailyLog) -> Json:
    """Give a log as its owner sees it; its objects are the JSON that is stored, word for word."""
    return {
        "date": record.on.isoformat(),
        "workout_data": _stored(record.workout_data),
        "nutrition_data": _stored(record.nutrition_data),
        "weight_kg": record.weight_kg,
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
    }


def _stored(text: str | None) -> object:
    return None if text is None else orjson.Fragment(text)


def leaderboard_entry(of: Contender, *, rank: int, value: int) -> Json:
    return {
        "rank": rank,
        "user_id": of.user_id,
        "first_name": of.first_name,
        "last_name": of.last_name,
        "profile_image": image_url(of.profile_image),
        "value": value,
    }


def achievement(record: Achievement, award: Award | None, progress: float) -> Json:
    """Give an achievement as somebody sees it who has earned it, if there is an award, or come so far."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "criteria_type": record.metric,
        "criteria_value": record.threshold,
        "earned": award is not None,
        "earned_at": None if award is None else timestamp(award.earned_at),
        "progress": progress if award is None else 1.0,
    }


def audit_entry(record: AuditEntry) -> Json:
    return {
        "id": record.id,
        "at": timestamp(record.at),
        "actor": record.user_id,
        "origin": record.origin,
        "what": record.action,
        "about": record.subject,
        "details": record.details,
    }


def export(record: Export) -> Json:
    return {
        "status": {READY: "ready", FAILED: "failed"}.get(record.state, "pending"),
        "requested_at": timestamp(record.requested_at),
        "expires_at": optional_timestamp(record.expires_at),
        "size_bytes": record.size_bytes,
    }
