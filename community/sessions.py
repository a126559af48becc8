"""Logging in, staying logged in, logging out, and turning an access token into an actor.

A session is one log-in on one device and the family of its refresh tokens. Accounts are changed elsewhere.
"""

import asyncio
import secrets
from collections import OrderedDict
from datetime import datetime, timedelta
from itertools import islice

from community.actor import Actor
from community.controls import carry_out, session_closed
from community.devices import forget_device
from community.errors import BadCredentials, BadToken, TokenReused
from community.tokens import ACCESS, REFRESH, REFRESH_FOR, REFRESH_IDLE_FOR, Claims, Pair, digest
from community.trail import note_refused_log_in
from config.clock import Clock
from config.deps import Deps
from realtime.events import AuthorChanged, GroupClosed, SessionClosed, UserClosed
from store.audit import AuditDraft, Initiator, user_subject
from store.errors import DatabaseAway, StoreUnavailable
from store.records import User
from store.sessions import Sessions

# A phone that lost the answer asks again within seconds; later, somebody else holds the token.
GRACE = timedelta(seconds=10)
# An ended session is refused within a second even where the message about it was lost.
KEPT_SECONDS = 1.0
# About 1.5 KB an entry.
CAPACITY = 20_000
# Sessions read by one pair of queries: some milliseconds.
BATCH = 200


class Actors:
    """Live sessions with their people, kept in the process for up to a second.

    Of those that are not known, all that are asked for while one read is under way share the next: when
    thousands of phones come back at once, the database is asked a few dozen times.
    """

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, User]] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[User | None]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._is_away = False
        self._changes = 0

    async def user_of(self, session_id: str, *, fresh: bool = False) -> User | None:
        """Give the owner of a session that has not ended, else None; ``fresh`` asks the database in any case.

        Raises ``StoreUnavailable``; at once where the database was looked for in vain and is looked for just now.
        """
        entry = self._known.get(session_id)
        if entry is not None and not fresh and entry[0] > self._clock.monotonic():
            return entry[1]
        if self._is_away and self._reader is not None:
            raise StoreUnavailable("the database is away")
        # Whoever is wanted now is read from now on: that is fresh, too.
        wanted = self._wanted.get(session_id)
        if wanted is None:
            wanted = self._wanted[session_id] = asyncio.get_running_loop().create_future()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        return await asyncio.shield(wanted)

    async def _read(self) -> None:
        try:
            while self._wanted:
                batch = dict(islice(self._wanted.items(), BATCH))
                for session_id in batch:
                    del self._wanted[session_id]
                await self._read_batch(batch)
        finally:
            self._reader = None

    async def _read_batch(self, batch: dict[str, "asyncio.Future[User | None]"]) -> None:
        before = self._changes
        until = self._clock.monotonic() + KEPT_SECONDS
        try:
            found = await self._sessions.users_of(list(batch))
        except Exception as error:  # noqa: BLE001 - each who asked is told, and decides
            if isinstance(error, DatabaseAway):
                self._is_away = True
                # They could only wait for the same answer.
                batch |= self._wanted
                self._wanted.clear()
            for wanted in batch.values():
                wanted.set_exception(error)
                wanted.exception()  # whoever asked may be gone
            return
        self._is_away = False
        for session_id, wanted in batch.items():
            user = found.get(session_id)
            wanted.set_result(user)
            # What was read before a change must not be kept after it.
            if user is None or self._changes != before:
                self._known.pop(session_id, None)
            else:
                self._known[session_id] = (until, user)
                self._known.move_to_end(session_id)
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)

    def hear(self, message: object) -> None:
        """Forget whoever a message is about; what passes about content is not for here."""
        if isinstance(message, SessionClosed):
            self._forget({message.session_id})
        elif isinstance(message, UserClosed | AuthorChanged):
            self._forget({sid for sid, (_, user) in self._known.items() if user.id == message.user_id})
        elif isinstance(message, GroupClosed):
            group = message.community_id
            self._forget({sid for sid, (_, user) in self._known.items() if user.community_id == group})

    def _forget(self, session_ids: set[str]) -> None:
        self._changes += 1
        for session_id in session_ids:
            self._known.pop(session_id, None)


def _expiry(created_at: datetime, rotated_at: datetime) -> datetime:
    return min(created_at + REFRESH_FOR, rotated_at + REFRESH_IDLE_FOR)


async def log_in(deps: Deps, *, email: str, password: str, origin: str) -> Pair:
    """Check the password and start a session. Raises ``BadCredentials``, and ``Busy`` when too many log in.

    Takes the same time for an unknown address: a hash is verified and a line written in any case.
    """
    user = await deps.store.users.by_email(email)
    right = await deps.hashing.verify(user.password_hash if user else None, password)
    if user is None or not right or not user.is_active:
        await note_refused_log_in(deps, user, email=email, origin=origin)
        raise BadCredentials
    now = deps.clock.now()
    session_id = secrets.token_hex(16)
    expires_at = _expiry(now, now)
    pair = deps.tokens.pair_of(session_id, user.id, 1, now, expires_at)
    await deps.store.sessions.add(
        session_id=session_id,
        user_id=user.id,
        refresh_digest=digest(pair.refresh),
        at=now,
        expires_at=expires_at,
        note=_note("session.started", user.id, session_id, user.id, origin),
    )
    return pair


def _note(action: str, user_id: int, session_id: str, by: int | None, origin: str) -> AuditDraft:
    return AuditDraft(Initiator(by, origin), action, user_subject(user_id), {"session": session_id[:8]})


async def refresh(deps: Deps, *, token: str, origin: str) -> Pair:
    """Exchange a refresh token for a new pair; it works once.

    The immediate predecessor gives the same pair again for 10 s after its exchange. Any other use of an
    exchanged token ends the whole family on all sockets and raises ``TokenReused``. Raises ``BadToken``.
    """
    claims = deps.tokens.read(token, token_type=REFRESH)
    session = await deps.store.sessions.get(claims.session_id)
    if session is None or session.revoked_at is not None:
        raise BadToken
    now = deps.clock.now()
    expires_at = _expiry(session.created_at, now)
    fresh = deps.tokens.pair_of(session.id, session.user_id, session.generation + 1, now, expires_at)
    rotated = await deps.store.sessions.rotate(
        session, digest=digest(token), fresh_digest=digest(fresh.refresh), at=now, expires_at=expires_at
    )
    if rotated is not None:
        return fresh
    # Not the newest (any more): perhaps the same phone asked twice.
    rotated = await deps.store.sessions.rotated_from(session.id, digest(token))
    if rotated is not None and now - rotated.rotated_at <= GRACE:
        return deps.tokens.pair(rotated)
    await _end(deps, session.id, _note("session.reused", session.user_id, session.id, None, origin))
    raise TokenReused


async def log_out(
    deps: Deps, actor: Actor, *, token: str, origin: str, device_token: str | None = None
) -> None:
    """End the family of one's own refresh token; the named device gets no more pushes. Raises ``BadToken``."""
    claims = deps.tokens.read(token, token_type=REFRESH)
    if claims.user_id != actor.id:
        raise BadToken
    if device_token is not None:
        # First: once the session has ended, nobody could log out again to finish this.
        await forget_device(deps, actor, device_token)
    session_id = claims.session_id
    await _end(deps, session_id, _note("session.ended", actor.id, session_id, actor.id, origin))


async def _end(deps: Deps, session_id: str, note: AuditDraft) -> None:
    carry_out(deps, await deps.store.sessions.revoke(session_id, session_closed(session_id), note))


async def verify(deps: Deps, *, token: str) -> None:
    """Return if the token, of either kind, is good and its session has not ended. Raises ``BadToken``."""
    claims = deps.tokens.read(token)
    if await deps.actors.user_of(claims.session_id) is None:
        raise BadToken


async def authenticate(deps: Deps, token: str, *, fresh: bool = False) -> Actor:
    """Give the actor behind an access token. Raises ``BadToken``.

    ``fresh`` asks the database instead of what was known up to a second ago: for sockets, which last hours.
    """
    claims: Claims = deps.tokens.read(token, token_type=ACCESS)
    user = await deps.actors.user_of(claims.session_id, fresh=fresh)
    if user is None or user.id != claims.user_id:
        raise BadToken
    return Actor(user=user, session_id=claims.session_id, expires_at=claims.expires_at)
