"""The WebSocket close codes of the feed, each with what it asks of the client.
Deciding when to use one belongs to the hub and the handler.
"""

import random
from typing import Final

GOING_AWAY = 1001  # The server is leaving: reconnect with `since` after the reason's `retry_after` seconds.
PROTOCOL_ERROR = 1002  # What came is no WebSocket (RFC 6455): stop.
INVALID_TEXT = 1007  # A text or a close reason that is no UTF-8: stop.
POLICY = 1008  # Floods: stop.
TOO_LARGE = 1009  # A frame over the limit: stop.
TRY_LATER = 1013  # This instance is full or cannot read its database: try later.

# 4000-4999 are free for applications (RFC 6455, section 7.4.2).
BAD_TOKEN = 4001  # The token is missing, wrong or expired: refresh it, reconnect.
NO_GROUP = 4003  # No group, or taken out of it: stop.
TOO_SLOW = 4008  # Events came faster than the client took them: reconnect with `since`.
TOO_MANY = 4009  # A newer socket of the same user took the place of this one: stop.

# Everybody who was on an instance comes back within this time; the others take a tenth of them each second.
SPREAD_SECONDS: Final = 10.0


def retry_after(spread_seconds: float = SPREAD_SECONDS) -> str:
    """The reason of a 1001 close: when to come back, at random within `spread_seconds`."""
    return f"retry_after={random.uniform(0, spread_seconds):.1f}"  # noqa: S311 - spreads load, hides nothing
