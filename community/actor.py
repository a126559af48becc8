"""Who is acting: the person and the log-in they came by.

How they proved it is the business of ``community.sessions``; what they may do that of ``permissions``.
"""

from dataclasses import dataclass

from store.records import User


@dataclass(frozen=True, slots=True)
class Actor:
    """A person with a session that had not ended when it was looked at (at most a second ago)."""

    user: User
    session_id: str
    # Unix seconds at which the access token ends.
    expires_at: float

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def role(self) -> str:
        return self.user.role

    @property
    def community_id(self) -> int | None:
        return self.user.community_id
