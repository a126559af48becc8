"""What the store gives out: frozen records, made from documents in one place.

A field that an old document lacks reads as its default here, so that a new field needs no migration. How a
record looks to a client is not decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from store.ids import EPOCH_MILLISECONDS

Document = Mapping[str, Any]

ADMIN, TRAINER, TRAINEE, AMBASSADOR = "ADMIN", "TRAINER", "TRAINEE", "AMBASSADOR"
PLATFORMS = ("ios", "android", "web")
REACTION_TYPES = ("fire", "thumbs_up", "heart")
NO_REACTIONS: Mapping[str, int] = dict.fromkeys(REACTION_TYPES, 0)
EPOCH = datetime.fromtimestamp(EPOCH_MILLISECONDS / 1000, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture among the media: ``key`` is its folder and a name that nobody can guess."""

    key: str
    extension: str
    width: int
    height: int
    # Of its smaller WebP versions, the smallest first.
    variant_widths: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.key}{self.extension}"

    @property
    def names(self) -> tuple[str, ...]:
        """All that is kept of it."""
        return (self.name, *(self.variant_name(width) for width in self.variant_widths))

    def variant_name(self, width: int) -> str:
        return f"{self.key}.{width}.webp"

    @property
    def document(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "extension": self.extension,
            "width": self.width,
            "height": self.height,
            "variant_widths": list(self.variant_widths),
        }

    @classmethod
    def of(cls, document: Document | None) -> "Image | None":
        if document is None:
            return None
        return cls(
            key=document["key"],
            extension=document["extension"],
            width=document["width"],
            height=document["height"],
            variant_widths=tuple(document["variant_widths"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. After erasure only the id, the role and the times are left."""

    id: int
    email: str
    password_hash: str
    first_name: str
    last_name: str
    role: str
    parent_trainer: int | None
    timezone: str
    auto_post_workouts: bool
    goal_weight_kg: float | None
    leaderboard_opt_in: bool
    has_posted: bool
    has_commented: bool
    profile_image: Image | None
    email_verified: bool
    is_active: bool
    joined_group_at: datetime | None
    created_at: datetime

    @property
    def community_id(self) -> int | None:
        """The group this person belongs to: a trainer's own, a trainee's trainer's, else None."""
        if self.role == TRAINER:
            return self.id
        return self.parent_trainer if self.role == TRAINEE else None

    @classmethod
    def of(cls, document: Document) -> "User":
        get = document.get
        return cls(
            id=document["_id"],
            email=get("email") or "",
            password_hash=get("password_hash") or "",
            first_name=get("first_name", ""),
            last_name=get("last_name", ""),
            role=document["role"],
            parent_trainer=get("parent_trainer"),
            timezone=get("timezone", "UTC"),
            auto_post_workouts=get("auto_post_workouts", True),
            goal_weight_kg=get("goal_weight_kg"),
            leaderboard_opt_in=get("leaderboard_opt_in", True),
            has_posted=get("has_posted", False),
            has_commented=get("has_commented", False),
            profile_image=Image.of(get("profile_image")),
            email_verified=get("email_verified_at") is not None,
            is_active=get("is_active", True),
            joined_group_at=get("joined_group_at"),
            created_at=get("created_at", EPOCH),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One log-in on one device: the family of its refresh tokens, of which only the newest works."""

    id: str
    user_id: int
    generation: int
    # When the newest pair was made; a pair is a pure function of the family, the generation and this time.
    rotated_at: datetime
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, document: Document) -> "SessionRecord":
        return cls(
            id=document["_id"],
            user_id=document["user_id"],
            generation=document["generation"],
            rotated_at=document["rotated_at"],
            created_at=document["created_at"],
            expires_at=document["expires_at"],
            revoked_at=document.get("revoked_at"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceToken:
    """One device of a person, by the name under which FCM knows it; ``repr`` leaves that name out."""

    id: int
    user_id: int
    token: str = field(repr=False)
    platform: str
    is_active: bool

    @classmethod
    def of(cls, document: Document) -> "DeviceToken":
        return cls(
            id=document["_id"],
            user_id=document["user_id"],
            token=document["token"],
            platform=document["platform"],
            is_active=document["is_active"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """A code that lets trainees join a trainer's group until it expires, is used up or is revoked."""

    id: int
    trainer_id: int
    code: str
    expires_at: datetime | None
    max_uses: int | None
    uses: int
    revoked_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Invite":
        return cls(
            id=document["_id"],
            trainer_id=document["trainer_id"],
            code=document["code"],
            expires_at=document.get("expires_at"),
            max_uses=document.get("max_uses"),
            uses=document.get("uses", 0),
            revoked_at=document.get("revoked_at"),
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post with its embedded counts, which always equal a recount of the documents they count."""

    id: int
    community_id: int
    author_id: int
    content: str
    content_format: str
    post_type: str
    image: Image | None
    reactions: Mapping[str, int]
    reactions_version: int
    comment_count: int
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Post":
        get = document.get
        return cls(
            id=document["_id"],
            community_id=document["community_id"],
            author_id=document["author_id"],
            content=document["content"],
            content_format=get("content_format", "plain"),
            post_type=get("post_type", "text"),
            image=Image.of(get("image")),
            reactions={**NO_REACTIONS, **get("reactions", NO_REACTIONS)},
            reactions_version=get("reactions_version", 0),
            comment_count=get("comment_count", 0),
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    id: int
    post_id: int
    community_id: int
    author_id: int
    content: str
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Comment":
        return cls(
            id=document["_id"],
            post_id=document["post_id"],
            community_id=document["community_id"],
            author_id=document["author_id"],
            content=document["content"],
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    id: int
    post_id: int
    user_id: int
    reaction_type: str
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Reaction":
        return cls(
            id=document["_id"],
            post_id=document["post_id"],
            user_id=document["user_id"],
            reaction_type=document["reaction_type"],
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A trainer's words to the group. ``number`` counts the group's up; ``rank`` is its place in lists."""

    id: int
    community_id: int
    number: int
    rank: int
    title: str
    body: str
    content_format: str
    is_pinned: bool
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Announcement":
        return cls(
            id=document["_id"],
            community_id=document["community_id"],
            number=document["number"],
            rank=document["rank"],
            title=document["title"],
            body=document["body"],
            content_format=document["content_format"],
            is_pinned=document["is_pinned"],
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FactDraft:
    """What a change of a room is about, before it has its number in the room."""

    kind: str
    post_id: int
    author_id: int
    comment_id: int | None = None
    comment_count: int | None = None
    # What phones are to be told of it, as it is kept until then.
    notice: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRecord:
    """One numbered change of a room. It refers to its post or comment; it holds no words of anybody."""

    community_id: int
    epoch: str
    seq: int
    kind: str
    post_id: int
    author_id: int
    comment_id: int | None
    comment_count: int | None
    at: datetime

    @classmethod
    def of(cls, document: Document, epoch: str) -> "FactRecord":
        return cls(
            community_id=document["_id"]["community_id"],
            epoch=epoch,
            seq=document["_id"]["seq"],
            kind=document["kind"],
            post_id=document["post_id"],
            author_id=document["author_id"],
            comment_id=document.get("comment_id"),
            comment_count=document.get("comment_count"),
            at=document["at"],
        )


@dataclass(frozen=True, slots=True)
class ControlDraft:
    """Something that all instances have to do: its ``kind``, whom it is about, and a code that goes with it."""

    kind: str
    target: int | str
    code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecord:
    """A control as it was written, at the writer's time ``at``."""

    id: str
    kind: str
    target: int | str
    code: int
    at: datetime

    @classmethod
    def of(cls, document: Document) -> "ControlRecord":
        return cls(
            id=document["_id"],
            kind=document["kind"],
            target=document["target"],
            code=document["code"],
            at=document["at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Community:
    """A room and its counter: ``seq`` is the number of its last fact, ``epoch`` names the numbering."""

    id: int
    epoch: str
    seq: int
    created_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Community":
        return cls(
            id=document["_id"],
            epoch=document["epoch"],
            seq=document["seq"],
            created_at=document["created_at"],
        )
