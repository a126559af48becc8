"""The frames: what each message carries, and that any size is one whole text frame.
When they are sent is tested with the hub.
"""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from realtime.events import (
    CommentAdded,
    CommentDeleted,
    Fact,
    Position,
    PostCreated,
    PostDeleted,
    ReactionsChanged,
)
from realtime.protocol import (
    connected_frame,
    encode_event,
    heartbeat_frame,
    resync_frame,
    seal_fact,
    seal_level,
    text_frame,
    timestamp,
)

AT = datetime(2026, 11, 21, 9, 17, 3, 45_999, tzinfo=UTC)
SAID = "2026-11-21T09:17:03.045Z"
ABOUT = {"community_id": 7, "position": Position("k3x9", 5), "at": AT, "post_id": 11, "author_id": 17}


def parsed(data: bytes) -> Frame:
    """The one frame that an independent implementation finds in `data`."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=False, max_size=None)
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        reader.feed_eof()
        assert not reader.buffer
        return done.value


def message(data: bytes) -> dict:
    frame = parsed(data)
    assert (frame.opcode, frame.fin) == (1, True)
    return json.loads(frame.data)


@given(st.one_of(st.binary(max_size=300), st.sampled_from([125, 126, 65_535, 65_536]).map(bytes)))
def test_text_frame_of_any_size_is_read_by_another_implementation(payload):
    frame = parsed(text_frame(payload))
    assert (frame.opcode, frame.fin, frame.data) == (1, True, payload)


@pytest.mark.parametrize(
    ("fact", "wire_name", "more"),
    [
        (PostCreated(**ABOUT, post={"id": 11}), "new_post", {"post": {"id": 11}}),
        (
            CommentAdded(**ABOUT, comment_id=3, comment={"id": 3}, comment_count=2),
            "new_comment",
            {"post_id": 11, "comment": {"id": 3}, "comment_count": 2},
        ),
        (
            CommentDeleted(**ABOUT, comment_id=3, comment_count=1),
            "comment_deleted",
            {"post_id": 11, "comment_id": 3, "comment_count": 1},
        ),
        (PostDeleted(**ABOUT), "post_deleted", {"post_id": 11}),
    ],
)
def test_fact_as_a_frame_carries_its_number_and_payload(fact, wire_name, more):
    assert message(encode_event(fact)) == {
        "type": wire_name,
        "timestamp": SAID,
        "seq": 5,
        "position": "k3x9.5",
        **more,
    }
    sealed = seal_fact(fact)
    assert sealed.frame == encode_event(fact)
    assert (sealed.position, sealed.wire_name, sealed.comment_id) == (
        fact.position,
        wire_name,
        fact.comment_id,
    )


def test_level_as_a_frame_carries_its_version_and_no_number():
    counts = {"fire": 1, "thumbs_up": 0, "heart": 2}
    level = ReactionsChanged(community_id=7, post_id=11, reactions=counts, version=4, at=AT)
    assert message(encode_event(level)) == {
        "type": "reaction_update",
        "timestamp": SAID,
        "post_id": 11,
        "reactions": counts,
        "version": 4,
    }
    assert seal_level(level).frame == encode_event(level)


def test_control_frames_say_where_the_client_is():
    position = Position("k3x9", 9)
    assert message(
        connected_frame("community_feed_7", position, recovered=None, heartbeat_seconds=25, at=AT)
    ) == {
        "type": "connected",
        "timestamp": SAID,
        "room": "community_feed_7",
        "position": "k3x9.9",
        "recovered": None,
        "heartbeat_seconds": 25,
    }
    assert message(heartbeat_frame(position, at=AT)) == {
        "type": "heartbeat",
        "timestamp": SAID,
        "position": "k3x9.9",
    }
    assert message(resync_frame(position, at=AT)) == {
        "type": "resync",
        "timestamp": SAID,
        "position": "k3x9.9",
    }


def test_timestamp_of_a_whole_second_has_milliseconds_too():
    assert timestamp(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000Z"


def test_fact_without_a_payload_of_its_own_is_refused():
    with pytest.raises(TypeError, match="payload"):
        Fact(**ABOUT)
