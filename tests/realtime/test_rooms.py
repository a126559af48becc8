"""The registry: every index says the same as a plain set of connections.
Nothing is sent here.
"""

from hypothesis import given
from hypothesis import strategies as st

from realtime.connection import Connection
from realtime.rooms import RoomRegistry, room_name
from tests.realtime.fakes import FakeStream

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "join", "remove"]), st.integers(0, 9), st.integers(1, 3)), max_size=60
)


def connection(number: int) -> Connection:
    return Connection(
        FakeStream(),
        user_id=number % 3,
        session_id=f"s{number % 4}",
        expires_at=0,
        close=lambda code, reason: None,
        ping=lambda: None,
    )


@given(STEPS)
def test_registry_after_any_steps_finds_exactly_who_is_there(steps):
    registry = RoomRegistry()
    known = [connection(number) for number in range(10)]
    present: dict[Connection, None] = {}
    for what, number, room in steps:
        one = known[number]
        if what == "add" and one not in present:
            one.community_id = None
            registry.add(one)
            present[one] = None
        elif what == "join" and one in present and one.community_id is None:
            one.community_id = room
            registry.join(one, room)
        elif what == "remove":
            assert registry.remove(one) == (one in present)
            present.pop(one, None)
    assert registry.everyone() == list(present)
    assert len(registry) == len(present)
    for user_id in range(3):
        assert registry.of_user(user_id) == [one for one in present if one.user_id == user_id]
    for session_id in ("s0", "s1", "s2", "s3"):
        assert registry.of_session(session_id) == [one for one in present if one.session_id == session_id]
    for room in (1, 2, 3):
        assert set(registry.of_room(room)) == {one for one in present if one.community_id == room}
    assert set(registry.rooms) == {one.community_id for one in present} - {None}
    assert all((one in registry) == (one in present) for one in known)


def test_room_name_is_the_public_one():
    assert room_name(42) == "community_feed_42"
