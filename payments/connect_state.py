"""The state that a browser brings back from Stripe: whose account it was about, signed, for an hour.

It shows a page and fetches an account's state, nothing else; it is no log-in.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import timedelta

from community.errors import BadToken
from config.deps import Deps

# Proving who one is takes minutes; an address that is older than this is asked for again in the app.
GOOD_FOR = timedelta(hours=1)
FORM = re.compile(r"([0-9]{1,16})\.([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class State:
    """Whose account it is about; an old one opens nothing, but says so politely."""

    ambassador_id: int
    is_old: bool


def sign(deps: Deps, ambassador_id: int) -> str:
    """Give a state about that ambassador, good from now on for an hour."""
    said = f"{ambassador_id}.{int((deps.clock.now() + GOOD_FOR).timestamp())}"
    return f"{said}.{_signature(deps.settings.jwt_secrets[0], said)}"


def read(deps: Deps, state: str) -> State:
    """Give what a state of ours says. Raises ``BadToken`` for anything else."""
    match = FORM.fullmatch(state)
    if match is None:
        raise BadToken
    said = f"{match[1]}.{match[2]}"
    good = [hmac.compare_digest(_signature(key, said), match[3]) for key in deps.settings.jwt_secrets]
    if not any(good):
        raise BadToken
    return State(int(match[1]), is_old=int(match[2]) <= deps.clock.now().timestamp())


def _signature(key: str, said: str) -> str:
    return hmac.new(key.encode(), f"connect-state:{said}".encode(), hashlib.sha256).hexdigest()
