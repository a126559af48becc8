"""What the tests of live delivery share: a clock, a log, a hub, and a way to let clients in.
The fakes themselves are in `fakes`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from realtime.broker import LocalBroker
from realtime.events import Position
from realtime.hub import Hub
from tests.realtime.fakes import NOON, MemoryLog, Peer, stranger
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Noon until the test moves it."""
    return FakeClock(NOON)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
async def hub(log: MemoryLog, clock: FakeClock) -> AsyncIterator[Hub]:
    """A hub that the test sweeps and compares itself; only its rooms have tasks of their own."""
    hub = Hub(LocalBroker(), log, clock=clock)
    yield hub
    for connection in hub._registry.everyone():
        hub.leave(connection)
    await hub.stop(0)


@pytest.fixture
def enter(hub: Hub) -> Callable[..., Awaitable[Peer]]:
    """Lets a client in: `await enter(since="k3x9.4")`; the since of a text that is no position is asked too."""

    async def enter(peer: Peer | None = None, *, since: str | None = None) -> Peer:
        peer = peer or stranger()
        hub.register(peer.connection)
        position = Position.parse(since) if since is not None else None
        await hub.join(peer.connection, position, asked=since is not None)
        return peer

    return enter
