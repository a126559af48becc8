"""What is kept about one person, a kind at a time: which documents are theirs, and which fields of them they are given.

Others' words and names are in none of these fields, only their ids. What becomes of the rows is decided elsewhere.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from store.daily_logs import logs_of
from store.database import Database, Document


def _by(owner: str) -> Callable[[int], Mapping[str, object]]:
    return lambda user_id: {owner: user_id}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of documents: ``where`` they are a person's, and the fields that are given, of those that are there."""

    name: str
    table: str
    where: Callable[[int], Mapping[str, object]]
    fields: tuple[str, ...]


KINDS = (
    Kind("account", "users", _by("_id"), (
        "email", "email_verified_at", "first_name", "last_name", "role", "parent_trainer", "timezone",
        "auto_post_workouts", "goal_weight_kg", "leaderboard_opt_in", "joined_group_at", "created_at")),
    Kind("log_ins", "sessions", _by("user_id"), ("created_at", "rotated_at", "expires_at", "revoked_at")),
    Kind("audit_trail", "audit", _by("user_id"), ("at", "action", "subject", "origin", "details")),
    Kind("devices", "device_tokens", _by("user_id"), ("_id", "token", "platform", "is_active")),
    Kind("posts", "posts", _by("author_id"), (
        "_id", "community_id", "content", "content_format", "post_type", "image.key", "image.extension",
        "reactions", "comment_count", "created_at")),
    Kind("comments", "comments", _by("author_id"), ("_id", "post_id", "community_id", "content", "created_at")),
    Kind("reactions", "reactions", _by("user_id"), ("post_id", "reaction_type", "created_at")),
    Kind("daily_logs", "daily_logs", logs_of, (
        "_id", "workout_data", "nutrition_data", "weight_kg", "created_at", "updated_at")),
    Kind("achievements", "awards", _by("user_id"), ("achievement_id", "earned_at")),
    Kind("announcements", "announcements", _by("community_id"), (
        "_id", "title", "body", "content_format", "is_pinned", "created_at")),
    Kind("invites", "invites", _by("trainer_id"), (
        "_id", "code", "expires_at", "max_uses", "uses", "revoked_at", "created_at")),
    Kind("subscription", "billing_customers", _by("_id"), ("email", "customer_id")),
    Kind("ambassador", "ambassadors", _by("_id"), (
        "referral_code", "commission_rate", "is_active", "terms", "created_at")),
    Kind("referrals", "referrals", _by("ambassador_id"), ("_id", "trainer_id", "status", "created_at")),
    Kind("commissions", "commissions", _by("ambassador_id"), (
        "_id", "referral_id", "kind", "commission_rate", "base_cents", "cents", "status", "payout_id",
        "period_start", "period_end", "created_at")),
    Kind("payouts", "payouts", _by("ambassador_id"), (
        "_id", "cents", "currency", "state", "transfer_id", "created_at", "settled_at")),
    Kind("stripe_account", "connect_accounts", _by("_id"), (
        "email", "stripe_account_id", "charges_enabled", "payouts_enabled", "details_submitted", "created_at")),
)  # fmt: skip


class OwnData:
    def __init__(self, database: Database) -> None:
        self._tables = {kind.name: database.table(kind.table) for kind in KINDS}

    async def rows(self, kind: Kind, user_id: int) -> AsyncIterator[Document]:
        """Give a person's documents of a kind, in the order of their ids, as they come from the database."""
        fields = dict.fromkeys(kind.fields, 1)
        if "_id" not in kind.fields:
            fields["_id"] = 0
        async for document in self._tables[kind.name].scan(kind.where(user_id), fields=fields):
            yield document

    async def images(self, user_id: int) -> AsyncIterator[str]:
        """Give the file names of a person's pictures: their own, and those of their posts."""
        for kind, key, where in (
            ("account", "profile_image", {"_id": user_id, "profile_image.key": {"$gt": ""}}),
            ("posts", "image", {"author_id": user_id, "image.key": {"$gt": ""}}),
        ):
            async for document in self._tables[kind].scan(where, fields=[key]):
                yield f"{document[key]['key']}{document[key]['extension']}"
