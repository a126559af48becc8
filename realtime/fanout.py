"""One room's way to all its sockets: a flat list of `send`s, gone through in slices, bursts joined.
Which frames in which order is live_room's; what a socket does not take is its connection's.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from realtime.connection import MAX_JOINED_BYTES, Connection, Send
from realtime.events import Position

# How many sends between two turns of the event loop: 500 take 1-3 ms. Turns cost at most 8 % of the speed.
SLICE_SENDS = 500

# What may wait for a room whose fan-out does not keep up: eleven thousand events of the usual 700 bytes.
MAX_WAITING_BYTES = 8 << 20

# Places of members that left stay empty until they are this many (and an eighth): then the list is made anew.
MIN_EMPTY_PLACES = 16


class FanOut:
    """Hands frames to all members of one room, in order. Never waits for a client, never raises for one.

    Idle, it begins at once; what comes while it is busy waits and then goes out as one send per member.
    Each member has a slot in `_sends`. During a run slots stand still: who leaves or has a backlog gets
    another function in its slot, who joins goes to the end and is not part of the run.
    """

    def __init__(
        self, at: Position, *, slice_sends: int = SLICE_SENDS, on_sent: Callable[[int], None]
    ) -> None:
        """The room is at `at`. `on_sent` is told how many events were handed to members."""
        self._loop = asyncio.get_running_loop()
        self._slice_sends = slice_sends
        self._on_sent = on_sent
        self._sends: list[Send] = []
        self._members: list[Connection | None] = []
        self._empty = 0
        self._waiting: deque[tuple[bytes, Position | None]] = deque()
        self._waiting_bytes = 0
        self._data = b""
        self._frames = 0
        self._next = self._end = 0
        self._turn: asyncio.Handle | None = None
        self.started = at  # The latest fact that is on its way to the members, or beyond.
        self._finished = at  # The latest fact that all members were handed.

    def __len__(self) -> int:
        return len(self._members) - self._empty

    @property
    def is_behind(self) -> bool:
        """Whether more waits than may wait."""
        return self._waiting_bytes > MAX_WAITING_BYTES

    def add(self, connection: Connection) -> None:
        """Makes it a member: it gets everything after `started`."""
        connection.slot = len(self._sends)
        self._sends.append(connection.way_out)
        self._members.append(connection)

    def remove(self, connection: Connection) -> None:
        """Ends its membership at once."""
        if self._has(connection):
            self._sends[connection.slot] = len
            self._members[connection.slot] = None
            self._empty += 1
            connection.slot = -1

    def reroute(self, connection: Connection) -> None:
        """Its way out changed; from now on its frames go that way."""
        if self._has(connection):
            self._sends[connection.slot] = connection.way_out

    def told(self, connection: Connection) -> Position:
        """The latest fact this member was handed."""
        is_ahead = self._turn is not None and self._next <= connection.slot < self._end
        return self._finished if is_ahead else self.started

    def publish(self, frame: bytes, position: Position | None = None) -> None:
        """Sends `frame` to all members; `position` is where the room is after it, if it moves."""
        self._waiting.append((frame, position))
        self._waiting_bytes += len(frame)
        if self._turn is None:
            self._run()

    def drop_waiting(self) -> None:
        """Forgets what has not begun."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def flush(self) -> None:
        """Hands over everything that waits before it returns. For rare cases: it takes the loop for itself."""
        while self._turn is not None:
            self._turn.cancel()
            self._step()

    def _step(self) -> None:
        """One turn of the loop: the run's next slice, or the next run."""
        if self._next < self._end:
            self._slice()
        elif self._waiting:
            self._run()
        else:
            self._turn = None

    def _run(self) -> None:
        """Begins to hand what waits to all who are members now."""
        if self._empty > MIN_EMPTY_PLACES + len(self._members) // 8:
            self._compact()
        frames = self._take_waiting()
        self._data = b"".join(frames)
        self._frames = len(frames)
        self._next, self._end = 0, len(self._sends) if self._data else 0
        self._slice()

    def _take_waiting(self) -> list[bytes]:
        frames: list[bytes] = []
        size = 0
        while self._waiting and (not frames or size + len(self._waiting[0][0]) <= MAX_JOINED_BYTES):
            frame, position = self._waiting.popleft()
            frames.append(frame)
            size += len(frame)
            self.started = position or self.started
        self._waiting_bytes -= size
        return frames

    def _slice(self) -> None:
        """Hands the data to the next members, then gives the loop a turn or ends the run."""
        first, end = self._next, min(self._next + self._slice_sends, self._end)
        data = self._data
        size = len(data)
        for place, send in enumerate(self._sends[first:end], first):
            try:
                sent = send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = -1
            if sent != size:
                member = self._members[place]
                if member is not None:
                    member.finish(data, sent)
        self._next = end
        if end < self._end:
            self._turn = self._loop.call_soon(self._step)
            return
        self._finished = self.started
        self._data = b""
        self._on_sent(self._frames * len(self))
        self._turn = self._loop.call_soon(self._step) if self._waiting else None

    def _compact(self) -> None:
        members = [member for member in self._members if member is not None]
        for slot, member in enumerate(members):
            member.slot = slot
        self._members = list(members)
        self._sends = [member.way_out for member in members]
        self._empty = 0

    def _has(self, connection: Connection) -> bool:
        return 0 <= connection.slot < len(self._members) and self._members[connection.slot] is connection
