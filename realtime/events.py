"""What can be told to a room (facts and levels) and to the instances (control messages), as frozen types.
How an event becomes bytes and how it travels is the business of the protocol and the broker.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

MAX_SEQ = 2**53 - 1  # The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).

_POSITION = re.compile(r"([a-z0-9]{1,16})\.(0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a room's numbering: fact `seq` of the numbering `epoch`.

    Only positions of the same epoch can be compared by their `seq`.
    """

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The position that `str()` wrote as `text`, or None for any other text."""
        match = _POSITION.fullmatch(text)
        if match is None:
            return None
        seq = int(match[2])
        return cls(match[1], seq) if seq <= MAX_SEQ else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(ABC):
    """Something that happened in a room and is numbered: `position.seq` grows by one with each.

    `at` is an aware UTC time. `author_id` is the person whose name or picture the payload shows, if any.
    """

    wire_name: ClassVar[str]

    community_id: int
    position: Position
    at: datetime
    post_id: int
    comment_id: int | None = None
    author_id: int | None = None

    @abstractmethod
    def payload(self) -> dict[str, Any]:
        """What the message carries beside type, timestamp, seq and position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostCreated(Fact):
    wire_name: ClassVar[str] = "new_post"

    post: Mapping[str, Any]

    def payload(self) -> dict[str, Any]:
        return {"post": dict(self.post)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentAdded(Fact):
    wire_name: ClassVar[str] = "new_comment"

    comment: Mapping[str, Any]
    comment_count: int

    def payload(self) -> dict[str, Any]:
        return {
            "post_id": self.post_id,
            "comment": dict(self.comment),
            "comment_count": self.comment_count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentDeleted(Fact):
    wire_name: ClassVar[str] = "comment_deleted"

    comment_count: int

    def payload(self) -> dict[str, Any]:
        return {
            "post_id": self.post_id,
            "comment_id": self.comment_id,
            "comment_count": self.comment_count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PostDeleted(Fact):
    wire_name: ClassVar[str] = "post_deleted"

    def payload(self) -> dict[str, Any]:
        return {"post_id": self.post_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionsChanged:
    """A level: the absolute reaction counts of a post. A lower `version` is older and is to be ignored."""

    wire_name: ClassVar[str] = "reaction_update"

    community_id: int
    post_id: int
    reactions: Mapping[str, int]
    version: int
    at: datetime

    def payload(self) -> dict[str, Any]:
        """What the message carries beside type and timestamp."""
        return {"post_id": self.post_id, "reactions": dict(self.reactions), "version": self.version}


# Control messages. Those with an id are carried out once by each instance, whichever way they come first; they
# are built so that twice does no harm.


@dataclass(frozen=True, slots=True, kw_only=True)
class UserClosed:
    """Every connection of this user is to be closed with `code`."""

    user_id: int
    code: int
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """Every connection of this log-in session is to be closed with `code`."""

    session_id: str
    code: int
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClosed:
    """Every connection in this community's room is to be closed with `code`."""

    community_id: int
    code: int
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorChanged:
    """What is shown of this user changed (profile, role, group) or was erased: what shows the old must go."""

    user_id: int
    id: str = ""


Event = Fact | ReactionsChanged
Control = UserClosed | SessionClosed | GroupClosed | AuthorChanged
