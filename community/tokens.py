"""Access and refresh tokens: JSON Web Tokens (RFC 7519), signed with HS256 and nothing else.

A token says who, which log-in, until when and what it is for; whether that log-in has ended is not known here.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import jwt

from community.errors import BadToken
from config.clock import Clock
from store.records import SessionRecord

ACCESS, REFRESH = "access", "refresh"
ACCESS_FOR = timedelta(minutes=15)
# A device that is silent for a month, or three months in any case, logs in again.
REFRESH_IDLE_FOR, REFRESH_FOR = timedelta(days=30), timedelta(days=90)
ISSUER, AUDIENCE = "cohort", "cohort-api"
REQUIRED = ["exp", "iat", "nbf", "jti", "iss", "aud", "sub", "type", "sid"]
# The header of our own tokens has these two; `kid`, `jku`, `jwk` and `crit` are somebody's attempt.
HEADER = frozenset({"alg", "typ"})
# Tokens whose signature was good, by their digests: about half a KB each.
REMEMBERED = 10_000
# A token of ours has some 400 characters.
MAX_TOKEN_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says. ``expires_at`` in Unix seconds."""

    user_id: int
    session_id: str
    expires_at: float


class _Signed(NamedTuple):
    """A token whose signature was good, and when it begins to count; whether it does now is another matter."""

    kind: str
    starts_at: int
    claims: Claims


@dataclass(frozen=True, slots=True)
class Pair:
    access: str
    refresh: str


def digest(token: str) -> str:
    """The form in which a secret token is stored: it cannot be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """Signs with the first secret and accepts all of them, so that secrets can be changed without log-outs."""

    def __init__(self, secrets: Sequence[str], clock: Clock) -> None:
        self._secrets = tuple(secrets)
        self._clock = clock
        # What signed tokens say never changes; checking a signature is a fifth of what a small request costs.
        self._signed: OrderedDict[bytes, _Signed] = OrderedDict()

    def pair(self, session: SessionRecord) -> Pair:
        """Give the pair of a family's newest generation.

        A pure function of the secret and the session, so a phone that lost the answer can be given the very
        same pair again although only its digest is stored.
        """
        return self.pair_of(
            session.id, session.user_id, session.generation, session.rotated_at, session.expires_at
        )

    def pair_of(
        self, session_id: str, user_id: int, generation: int, at: datetime, expires_at: datetime
    ) -> Pair:
        issued = int(at.timestamp())
        common = {
            "sub": str(user_id),
            "sid": session_id,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": issued,
            "nbf": issued,
        }
        return Pair(
            access=self._sign(
                {**common, "type": ACCESS, "exp": issued + int(ACCESS_FOR.total_seconds())}, generation
            ),
            refresh=self._sign({**common, "type": REFRESH, "exp": int(expires_at.timestamp())}, generation),
        )

    def _sign(self, claims: dict[str, Any], generation: int) -> str:
        key = self._secrets[0]
        name = f"{claims['type']}:{claims['sid']}:{generation}"
        claims["jti"] = hmac.new(key.encode(), name.encode(), hashlib.sha256).hexdigest()[:32]
        return jwt.encode(claims, key, algorithm="HS256")

    def read(self, token: str, *, token_type: str | None = None) -> Claims:
        """Give what a token says. Raises ``BadToken`` for anything but an unexpired one of ours of that type."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise BadToken
        try:
            key = hashlib.sha256(token.encode()).digest()
        except UnicodeEncodeError as error:  # half a character
            raise BadToken from error
        signed = self._signed.get(key)
        if signed is None:
            signed = self._signed[key] = self._decode(token)
            if len(self._signed) > REMEMBERED:
                self._signed.popitem(last=False)
        if token_type not in {None, signed.kind}:
            raise BadToken
        now = self._clock.now().timestamp()
        # A second of tolerance: instances' clocks differ a little, and times are in whole seconds.
        if signed.starts_at > now + 1 or signed.claims.expires_at <= now:
            raise BadToken
        return signed.claims

    def _decode(self, token: str) -> _Signed:
        for key in self._secrets:
            try:
                decoded = jwt.decode_complete(
                    token,
                    key,
                    algorithms=["HS256"],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    # Times are compared with the server's own clock, above.
                    options={
                        "require": REQUIRED,
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError) as error:
                raise BadToken from error
            if not HEADER.issuperset(decoded["header"]):
                raise BadToken
            return _signed(decoded["payload"])
        raise BadToken


def _signed(payload: Mapping[str, Any]) -> _Signed:
    subject, session_id, kind = payload["sub"], payload["sid"], payload["type"]
    ends, starts = payload["exp"], payload["nbf"]
    if not (isinstance(ends, int) and isinstance(starts, int) and isinstance(session_id, str)):
        raise BadToken
    if kind not in {ACCESS, REFRESH} or not subject.isdigit():
        raise BadToken
    claims = Claims(user_id=int(subject), session_id=session_id, expires_at=float(ends))
    return _Signed(ACCESS if kind == ACCESS else REFRESH, starts, claims)
