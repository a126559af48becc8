"""The names of rooms, and who is connected: by room, by user, by log-in session. Synchronous, without I/O.
How a room is reached fast is fanout's, and whom to close is decided by the hub.
"""

from collections.abc import Collection, Hashable
from typing import TypeVar

from realtime.connection import Connection

K = TypeVar("K", bound=Hashable)

Index = dict[K, dict[Connection, None]]  # The inner dict is a set that keeps the order of arrival.


def room_name(community_id: int) -> str:
    """The public name of a community's room."""
    return f"community_feed_{community_id}"


class RoomRegistry:
    """All connections of this instance. Each has a user and a session from the start, a room once it joined."""

    def __init__(self) -> None:
        self._all: dict[Connection, None] = {}
        self._by_user: Index[int] = {}
        self._by_session: Index[str] = {}
        self._by_room: Index[int] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._all

    @property
    def rooms(self) -> Collection[int]:
        """The communities that have a member here."""
        return self._by_room.keys()

    def everyone(self) -> list[Connection]:
        """All connections, oldest first, in a list of the caller's own."""
        return list(self._all)

    def add(self, connection: Connection) -> None:
        self._all[connection] = None
        self._by_user.setdefault(connection.user_id, {})[connection] = None
        self._by_session.setdefault(connection.session_id, {})[connection] = None

    def join(self, connection: Connection, community_id: int) -> None:
        """Makes an added connection a member of the room."""
        self._by_room.setdefault(community_id, {})[connection] = None

    def remove(self, connection: Connection) -> bool:
        """Forgets the connection everywhere; gives whether it was known."""
        if connection not in self._all:
            return False
        del self._all[connection]
        _drop(self._by_user, connection.user_id, connection)
        _drop(self._by_session, connection.session_id, connection)
        if connection.community_id is not None:
            _drop(self._by_room, connection.community_id, connection)
        return True

    def of_user(self, user_id: int) -> list[Connection]:
        """The user's connections, oldest first."""
        return list(self._by_user.get(user_id, ()))

    def of_session(self, session_id: str) -> list[Connection]:
        """The log-in session's connections, oldest first."""
        return list(self._by_session.get(session_id, ()))

    def of_room(self, community_id: int) -> list[Connection]:
        """The room's members, oldest first."""
        return list(self._by_room.get(community_id, ()))


def _drop(index: Index[K], key: K, connection: Connection) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(connection, None)
        if not members:
            del index[key]
