"""Every index of the database in one table, applied at start.

An index that exists is left alone, a missing one is built; applying twice, or by two instances at once, is
harmless. Which query each serves is said beside it. ``_id`` indexes come by themselves.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from store.controls import KEPT_FOR
from store.database import Document
from store.notices import IS_NOTICE

# Partial filters are comparisons, since the planner does not see that an equality implies a `$type`.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its collection, its keys in order, and what is special about it."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    serves: str
    unique: bool = False
    # Only documents that match are in the index.
    partial: tuple[tuple[str, object], ...] = ()
    # Documents vanish this many seconds after the time in the (single) key.
    expires_after_seconds: int | None = None

    def model(self) -> IndexModel:
        options: dict[str, object] = {"unique": True} if self.unique else {}
        if self.partial:
            options["partialFilterExpression"] = dict(self.partial)
        if self.expires_after_seconds is not None:
            options["expireAfterSeconds"] = self.expires_after_seconds
        return IndexModel(list(self.keys), **options)


INDEXES = (
    Index("users", (("email_key", 1),), "log-in; one account an e-mail address", unique=True,
          partial=(("email_key", {"$gt": ""}),)),
    Index("users", (("parent_trainer", 1), ("_id", 1)), "a trainer's trainees",
          partial=(("parent_trainer", {"$gt": 0}),)),
    Index("sessions", (("user_id", 1),), "ending all sessions of a user"),
    Index("sessions", (("expires_at", 1),), "forgetting ended sessions", expires_after_seconds=0),
    Index("password_resets", (("user_id", 1),), "a new link ends the older ones"),
    Index("password_resets", (("expires_at", 1),), "forgetting unused links", expires_after_seconds=0),
    Index("email_links", (("user_id", 1), ("purpose", 1)), "a new link ends the older ones; erasing them"),
    Index("email_links", (("email_key", 1), ("purpose", 1)), "whether an address is kept for somebody"),
    Index("email_links", (("expires_at", 1),), "forgetting unused links", expires_after_seconds=0),
    Index("exports", (("state", 1), ("claimed_until", 1)), "what is to be made, or told of"),
    Index("exports", (("name", 1),), "whether a file is somebody's export"),
    Index("exports", (("expires_at", 1),), "forgetting them with their links", expires_after_seconds=0),
    Index("invites", (("code", 1),), "joining by code", unique=True),
    Index("invites", (("trainer_id", 1), ("_id", -1)), "a trainer's codes"),
    Index("posts", (("community_id", 1), ("_id", -1)), "the feed"),
    Index("posts", (("community_id", 1), ("reactions_at", -1)), "levels changed while a phone was away",
          partial=(("reactions_at", {"$gt": LONG_AGO}),)),
    Index("posts", (("image.key", 1),), "whether a file belongs to a post",
          partial=(("image.key", {"$gt": ""}),)),
    Index("users", (("profile_image.key", 1),), "whether a file is somebody's picture",
          partial=(("profile_image.key", {"$gt": ""}),)),
    Index("reactions", (("user_id", 1), ("post_id", 1), ("reaction_type", 1)),
          "one reaction of a kind a person and post; own reactions of a page", unique=True),
    Index("reactions", (("post_id", 1), ("_id", -1)), "who reacted; deleting a post; recount"),
    Index("comments", (("post_id", 1), ("_id", 1)), "a post's comments; deleting a post; recount"),
    Index("posts", (("author_id", 1), ("_id", 1)), "what somebody wrote, to export it"),
    Index("comments", (("author_id", 1), ("_id", 1)), "what somebody wrote, to export it"),
    Index("announcements", (("community_id", 1), ("rank", -1)), "a group's announcements, pinned first"),
    Index("announcements", (("community_id", 1), ("number", 1)), "one of a number a group; the unread",
          unique=True),
    Index("device_tokens", (("token", 1),), "a token has one owner", unique=True),
    Index("device_tokens", (("user_id", 1), ("_id", 1)), "a person's devices; erasing them"),
    Index("awards", (("user_id", 1), ("achievement_id", 1)), "one award of an achievement a person; a person's awards",
          unique=True),
    Index("users", (("achievements_due", 1),), "whose achievements are to be looked at",
          partial=(("achievements_due", {"$gt": ""}),)),
    Index("events", (("lane", 1), ("due_at", 1)), "what phones are to be told next",
          partial=tuple(IS_NOTICE.items())),
    Index("notices_told", (("until", 1),), "forgetting what was told lately", expires_after_seconds=0),
    Index("users", (("role", 1), ("_id", -1)), "admins; ambassadors", partial=(("role", {"$lt": "B"}),)),
    Index("ambassadors", (("referral_code", 1),), "who is meant by a code", unique=True),
    Index("commissions", (("kind", 1), ("source_id", 1)), "one entry of a kind a cause", unique=True),
    Index("commissions", (("ambassador_id", 1), ("_id", -1)), "an ambassador's history"),
    Index("commissions", (("status", 1), ("payout_id", 1), ("ambassador_id", 1), ("_id", 1)),
          "what can be paid out"),
    Index("commissions", (("payout_id", 1), ("_id", 1)), "what a payout pays",
          partial=(("payout_id", {"$gt": 0}),)),
    Index("movements", (("kind", 1), ("source_id", 1)), "a movement is made once", unique=True),
    Index("movements", (("to", 1), ("_id", 1)), "balances"),
    Index("movements", (("from", 1), ("_id", 1)), "balances"),
    Index("payouts", (("ambassador_id", 1),), "one open payout an ambassador", unique=True,
          partial=(("is_open", True),)),
    Index("payouts", (("ambassador_id", 1), ("_id", -1)), "an ambassador's payouts"),
    Index("payouts", (("is_open", 1), ("_id", 1)), "what is to be reconciled", partial=(("is_open", True),)),
    Index("payouts", (("flag", 1), ("_id", 1)), "what waits for a person", partial=(("flag", {"$gt": ""}),)),
    Index("connect_accounts", (("stripe_account_id", 1),), "whose account an event is about", unique=True,
          partial=(("stripe_account_id", {"$gt": ""}),)),
    Index("audit", (("subject", 1), ("_id", 1)), "what was done to something"),
    Index("audit", (("user_id", 1), ("_id", -1)), "what somebody did"),
    Index("audit", (("action", 1), ("_id", -1)), "who did such things"),
    Index("audit", (("once", 1),), "one line for what strangers repeat", unique=True,
          partial=(("once", {"$gt": ""}),)),
    Index("audit", (("expires_at", 1),), "forgetting lines whose time is over", expires_after_seconds=0),
    Index("commissions", (("referral_id", 1), ("_id", 1)), "what a referral earned"),
    Index("commissions", (("ambassador_id", 1), ("period_start", 1), ("_id", 1)), "months; statements"),
    Index("ambassadors", (("is_active", 1), ("_id", -1)), "active ambassadors"),
    Index("referrals", (("trainer_id", 1),), "one referral a trainer: the first one wins", unique=True),
    Index("referrals", (("ambassador_id", 1), ("_id", -1)), "an ambassador's referrals"),
    Index("referrals", (("ambassador_id", 1), ("status", 1), ("_id", -1)), "those of a status; counts"),
    Index("users", (("referral_code", 1), ("role", 1)), "codes that nobody has looked at yet",
          partial=(("referral_code", {"$gt": ""}),)),
    Index("billing_customers", (("customer_id", 1),), "whose payment an event is about", unique=True,
          partial=(("customer_id", {"$gt": ""}),)),
    Index("billing_objects", (("user_id", 1), ("kind", 1)), "a trainer's payments, by what we wrote on them",
          partial=(("user_id", {"$gt": 0}),)),
    Index("billing_objects", (("customer", 1), ("kind", 1)), "a trainer's payments",
          partial=(("customer", {"$gt": ""}),)),
    Index("billing_objects", (("subscription", 1), ("kind", 1)), "a subscription's invoices",
          partial=(("subscription", {"$gt": ""}),)),
    Index("billing_objects", (("refs", 1), ("kind", 1)), "what belongs to a payment"),
    Index("inbox", (("state", 1), ("next_at", 1)), "whose turn it is; what is stuck"),
    Index("inbox", (("expires_at", 1),), "forgetting events that were dealt with", expires_after_seconds=0),
    Index("controls", (("at", 1),), "what instances have to do; forgetting what they did",
          expires_after_seconds=int(KEPT_FOR.total_seconds())),
    Index("idempotency", (("user_id", 1),), "erasing stored answers with their owner"),
    Index("idempotency", (("reserved_id", 1),), "erasing the answer that made somebody"),
    Index("idempotency", (("expires_at", 1),), "forgetting keys after a day", expires_after_seconds=0),
)  # fmt: skip


async def apply_indexes(database: AsyncDatabase[Document]) -> None:
    """Build what is missing. Raises the driver's error where an index of these keys exists with other options."""
    wanted: dict[str, list[IndexModel]] = {}
    for index in INDEXES:
        wanted.setdefault(index.collection, []).append(index.model())
    # All at once: an empty database has them after 310 ms instead of 475, one that has them all after 35 instead of 49.
    await asyncio.gather(*(database[name].create_indexes(models) for name, models in wanted.items()))
