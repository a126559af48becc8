"""The one typed container of everything an operation needs from outside.

It is filled by ``open_deps`` in ``server.py`` and frozen; nothing in the server is reached through a module's
global. The names below are types only: at run time this module imports nothing of the product, so that every
folder may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from community.feed_pages import FeedPages
    from community.image_worker import Images
    from community.passwords import Hashing
    from community.people import People
    from community.sessions import Actors
    from community.tokens import Tokens
    from config.clock import Clock
    from config.lifecycle import Lifecycle
    from config.metrics import Metrics
    from config.settings import Settings
    from handlers.rate_limits import RateLimits
    from payments.dashboard import LastFigures
    from payments.gateway_door import GatewayDoor
    from push.outbox import Outbox
    from push.phones import Phones
    from realtime.hub import Hub
    from store.media import Media
    from store.notices import PendingNotice
    from store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What ``open_deps`` opened; a test swaps parts with ``dataclasses.replace``."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    lifecycle: Lifecycle
    store: Store
    media: Media
    images: Images
    realtime: Hub
    push: Outbox
    phones: Phones[PendingNotice]
    hashing: Hashing
    tokens: Tokens
    actors: Actors
    people: People
    feed_pages: FeedPages
    rate_limits: RateLimits
    gateway: GatewayDoor
    last_figures: LastFigures
    # Does nothing; in its place a test puts what kills the process at a named point of a payout.
    crash_point: Callable[[str], None]
