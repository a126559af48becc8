"""Envelopes as bytes, for brokers between processes: a line of JSON, then the frame that goes to the sockets as it is.
How bytes travel is the broker's; a format that a running release reads is never changed, only added to.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from realtime.broker import Envelope, FactEnvelope, LevelEnvelope
from realtime.events import AuthorChanged, GroupClosed, Position, SessionClosed, UserClosed

_ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(milliseconds=1)

# First field of each line. An unknown one is from a newer release and means nothing to this one.
FACT, LEVEL, USER, SESSION, GROUP, AUTHOR = "fact", "level", "user", "session", "group", "author"


def pack(envelope: Envelope) -> bytes:
    """The envelope as bytes that `unpack` reads."""
    fields, frame = _fields(envelope)
    return orjson.dumps(fields) + b"\n" + frame


def unpack(data: bytes) -> Envelope | None:
    """The envelope that was packed; None for a kind that this release does not know. Raises ValueError."""
    line, found, frame = data.partition(b"\n")
    if not found:
        raise ValueError("no envelope")
    try:
        kind, *fields = orjson.loads(line)
        read = _READERS.get(kind)
        return None if read is None else read(frame, *fields)
    except (TypeError, KeyError) as error:
        raise ValueError(f"not an envelope: {error}") from error


def _fields(envelope: Envelope) -> tuple[list[Any], bytes]:
    match envelope:
        case FactEnvelope():
            position = envelope.position
            return [
                FACT,
                envelope.community_id,
                position.epoch,
                position.seq,
                _milliseconds(envelope.at),
                envelope.wire_name,
                envelope.post_id,
                envelope.comment_id,
                envelope.author_id,
            ], envelope.frame
        case LevelEnvelope():
            return [
                LEVEL,
                envelope.community_id,
                envelope.post_id,
                envelope.version,
                _milliseconds(envelope.at),
            ], envelope.frame
        case UserClosed():
            return [USER, envelope.user_id, envelope.code, envelope.id], b""
        case SessionClosed():
            return [SESSION, envelope.session_id, envelope.code, envelope.id], b""
        case GroupClosed():
            return [GROUP, envelope.community_id, envelope.code, envelope.id], b""
        case AuthorChanged():
            return [AUTHOR, envelope.user_id, envelope.id], b""


def _fact(frame: bytes, *fields: Any) -> FactEnvelope:
    community_id, epoch, seq, at, wire_name, post_id, comment_id, author_id, *_newer = fields
    return FactEnvelope(
        community_id=community_id,
        position=Position(epoch, seq),
        at=_time(at),
        wire_name=wire_name,
        post_id=post_id,
        comment_id=comment_id,
        author_id=author_id,
        frame=frame,
    )


def _level(
    frame: bytes, community_id: int, post_id: int, version: int, at: int, *_newer: object
) -> LevelEnvelope:
    return LevelEnvelope(
        community_id=community_id, post_id=post_id, version=version, at=_time(at), frame=frame
    )


_READERS: dict[str, Callable[..., Envelope]] = {
    FACT: _fact,
    LEVEL: _level,
    USER: lambda _frame, user_id, code, id_, *_newer: UserClosed(user_id=user_id, code=code, id=id_),
    SESSION: lambda _frame, session_id, code, id_, *_newer: SessionClosed(
        session_id=session_id, code=code, id=id_
    ),
    GROUP: lambda _frame, community_id, code, id_, *_newer: GroupClosed(
        community_id=community_id, code=code, id=id_
    ),
    AUTHOR: lambda _frame, user_id, id_, *_newer: AuthorChanged(user_id=user_id, id=id_),
}


def _milliseconds(at: datetime) -> int:
    return (at - _ORIGIN) // _STEP


def _time(milliseconds: int) -> datetime:
    return _ORIGIN + milliseconds * _STEP
