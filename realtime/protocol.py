"""The frames of the feed: each message as the bytes of one WebSocket frame, made once for all who get it.
What a message says is in events, and when it is sent is decided by the hub.
"""

from datetime import datetime
from typing import Any

import orjson

from realtime.broker import FactEnvelope, LevelEnvelope
from realtime.events import Event, Fact, Position, ReactionsChanged

# RFC 6455, section 5.2: the final frame of a text message, never masked by a server.
TEXT_FRAME = 0x81


def text_frame(payload: bytes) -> bytes:
    """The whole frame that carries `payload`, which is UTF-8, as one text message."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT_FRAME, size)) + payload
    if size < 1 << 16:
        return bytes((TEXT_FRAME, 126)) + size.to_bytes(2) + payload
    return bytes((TEXT_FRAME, 127)) + size.to_bytes(8) + payload


def timestamp(at: datetime) -> str:
    """`at`, which is aware and in UTC, as ISO 8601 with milliseconds and `Z`."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def encode_event(event: Event) -> bytes:
    """The whole frame of a fact or a level. Raises TypeError when its payload is not JSON."""
    numbers: dict[str, Any] = {}
    if isinstance(event, Fact):
        numbers = {"seq": event.position.seq, "position": str(event.position)}
    return _message(event.wire_name, event.at, **numbers, **event.payload())


def connected_frame(
    room: str, position: Position, *, recovered: bool | None, heartbeat_seconds: int, at: datetime
) -> bytes:
    """The first frame of every connection; `recovered` is None for a client that did not say `since`."""
    return _message(
        "connected",
        at,
        room=room,
        position=str(position),
        recovered=recovered,
        heartbeat_seconds=heartbeat_seconds,
    )


def heartbeat_frame(position: Position, *, at: datetime) -> bytes:
    """Tells a client that the feed lives, and up to where it has been told everything."""
    return _message("heartbeat", at, position=str(position))


def resync_frame(position: Position, *, at: datetime) -> bytes:
    """Tells a client to reload by REST: what it lacks up to `position` cannot be given."""
    return _message("resync", at, position=str(position))


def seal_fact(fact: Fact) -> FactEnvelope:
    """The fact as it travels, its frame made. Raises TypeError when its payload is not JSON."""
    return FactEnvelope(
        community_id=fact.community_id,
        position=fact.position,
        at=fact.at,
        wire_name=fact.wire_name,
        post_id=fact.post_id,
        comment_id=fact.comment_id,
        author_id=fact.author_id,
        frame=encode_event(fact),
    )


def seal_level(level: ReactionsChanged) -> LevelEnvelope:
    """The level as it travels, its frame made. Raises TypeError when its payload is not JSON."""
    return LevelEnvelope(
        community_id=level.community_id,
        post_id=level.post_id,
        version=level.version,
        at=level.at,
        frame=encode_event(level),
    )


def _message(wire_name: str, at: datetime, **more: Any) -> bytes:
    return text_frame(orjson.dumps({"type": wire_name, "timestamp": timestamp(at), **more}))
