"""Control messages between the log that keeps them, the hub that carries them out, and the operations that cause them.

Which change closes whose connections is decided by each operation; carrying it out is the hub's.
"""

from collections.abc import Iterable
from enum import StrEnum

from config.deps import Deps
from realtime.close_codes import BAD_TOKEN
from realtime.events import AuthorChanged, Control, GroupClosed, SessionClosed, UserClosed
from store.records import ControlDraft, ControlRecord


class Kind(StrEnum):
    """As they are kept in the database: a name is never given another meaning."""

    USER = "user_closed"
    SESSION = "session_closed"
    GROUP = "group_closed"
    AUTHOR = "author_changed"


def user_closed(user_id: int, code: int) -> ControlDraft:
    return ControlDraft(Kind.USER, user_id, code)


def session_closed(session_id: str) -> ControlDraft:
    return ControlDraft(Kind.SESSION, session_id, BAD_TOKEN)


def group_closed(community_id: int, code: int) -> ControlDraft:
    return ControlDraft(Kind.GROUP, community_id, code)


def author_changed(user_id: int) -> ControlDraft:
    return ControlDraft(Kind.AUTHOR, user_id)


def carry_out(deps: Deps, records: Iterable[ControlRecord]) -> None:
    """Do now, here, what a change has just written, and tell the other instances. Never raises."""
    for record in records:
        message = control_of(record)
        if message is not None:
            deps.realtime.control(message)


def control_of(record: ControlRecord) -> Control | None:
    """Give the message for the hub; None for a kind that only newer instances know."""
    match record.kind, record.target:
        case Kind.USER, int(user_id):
            return UserClosed(user_id=user_id, code=record.code, id=record.id)
        case Kind.SESSION, str(session_id):
            return SessionClosed(session_id=session_id, code=record.code, id=record.id)
        case Kind.GROUP, int(community_id):
            return GroupClosed(community_id=community_id, code=record.code, id=record.id)
        case Kind.AUTHOR, int(user_id):
            return AuthorChanged(user_id=user_id, id=record.id)
    return None
