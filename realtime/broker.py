"""How what happens on one instance reaches the others: the envelope, the broker's contract, and the local broker.
Ordering, doubles and losses are mended by the hub, and a vendor's client lives in a module of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from realtime.events import Control, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class FactEnvelope:
    """A fact on its way: the frame that goes to the sockets, and what a room has to know of it."""

    community_id: int
    position: Position
    at: datetime
    wire_name: str
    post_id: int
    comment_id: int | None
    author_id: int | None
    frame: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEnvelope:
    """A level on its way: the frame that goes to the sockets, and what a room has to know of it."""

    community_id: int
    post_id: int
    version: int
    at: datetime
    frame: bytes


# Plain values throughout, so that a broker between processes can write them as bytes.
Envelope = FactEnvelope | LevelEnvelope | Control
Deliver = Callable[[Envelope], None]


class Broker(Protocol):
    """Carries envelopes to the other instances; the hub has delivered them here before.

    At most once is the aim and nothing is certain: an envelope may be lost, doubled, delayed, overtaken, or come
    back to the instance it is from. The hub survives that: it compares its rooms with the database, and carries out
    what the control log says. Nothing a request does ever waits for another instance.
    """

    @property
    def is_healthy(self) -> bool:
        """Whether the way to the other instances works now. If not, rooms are compared every second."""
        ...

    def hears(self, community_id: int) -> bool:
        """Whether what other instances tell this room comes here now, as far as is known."""
        ...

    async def start(self, deliver: Deliver, missed: Callable[[], None]) -> None:
        """From now on `deliver` gets what comes, on the event loop. Returns without waiting for others.

        `missed` is called when the way broke or was (re)opened: what others said may not have come.
        """
        ...

    async def stop(self) -> None:
        """Delivers nothing more and lets go of what it held. Safe to call twice."""
        ...

    def publish(self, envelope: Envelope) -> None:
        """Sends it to the others when it can. Never blocks, never raises; a bounded queue, then loss."""
        ...

    async def subscribe(self, community_id: int) -> None:
        """This instance wants the facts and levels of this room. Returns when they come.

        Waits a fraction of a second at most and never raises; what takes effect later ends in `missed`.
        """
        ...

    def unsubscribe(self, community_id: int) -> None:
        """This instance no longer wants them. May take effect later; late ones are dropped by the hub."""
        ...


class LocalBroker:
    """The broker of a single instance: there are no others."""

    @property
    def is_healthy(self) -> bool:
        return True

    def hears(self, community_id: int) -> bool:  # noqa: ARG002 - true of every room
        """Everything that happens, happens here."""
        return True

    async def start(self, deliver: Deliver, missed: Callable[[], None]) -> None:
        """Nothing ever comes."""

    async def stop(self) -> None:
        """Nothing is held."""

    def publish(self, envelope: Envelope) -> None:
        """Nobody else wants it."""

    async def subscribe(self, community_id: int) -> None:
        """Nobody else speaks."""

    def unsubscribe(self, community_id: int) -> None:
        """Nobody else speaks."""
