"""Links that prove who reads an address: to verify one's own, to change to another, and to keep the one before.

Only digests of links are here. Making and mailing them, and who may ask, is decided in ``community.addresses``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.clock import Clock
from store.audit import Audit, AuditDraft
from store.controls import Controls
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.ids import IdSource
from store.records import ControlDraft, ControlRecord
from store.users import KEEP, Users, email_key

# Beside them there is KEEP. It goes to the old address when a change is asked for: it stops the change, or undoes it.
# While it is good, nobody else can take that address, or a thief could make it useless by registering there.
VERIFY, CHANGE = "verify", "change"


class TooManyChanges(Exception):
    """So many changes were asked for that still can be undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailLinkDraft:
    """A link to be kept: ``digest`` of its secret, the address it was mailed to, and until when it is good."""

    digest: str
    email: str
    expires_at: datetime


class EmailLinks:
    def __init__(
        self,
        database: Database,
        *,
        users: Users,
        controls: Controls,
        audit: Audit,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._database = database
        self._accounts = users
        self._controls = controls
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._links = database.table("email_links")
        self._users = database.table("users")
        self._resets = database.table("password_resets")

    async def add_verification(self, user_id: int, draft: EmailLinkDraft) -> None:
        """Keep a link to verify one's address; older ones end. Atomic."""

        async def write(session: Session) -> None:
            await self._links.delete_many({"user_id": user_id, "purpose": VERIFY}, session=session)
            await self._insert(user_id, VERIFY, draft, session)

        await self._database.transact(write)

    async def ask_change(
        self, user_id: int, *, change: EmailLinkDraft, keep: EmailLinkDraft, most: int, note: AuditDraft
    ) -> None:
        """Keep both links of a change; one that was asked for before cannot be confirmed any more. Atomic.

        Raises ``TooManyChanges`` where ``most`` can still be undone, and ``Gone`` where the account's address is not
        (any more) the one that ``keep`` was made for.
        """
        kept = {"user_id": user_id, "purpose": KEEP, "expires_at": {"$gt": self._clock.now()}}

        async def write(session: Session) -> None:
            # Whoever asks at the same time meets this write, and comes after it or before.
            owner = {"_id": user_id, "is_active": True, "email_key": email_key(keep.email)}
            asked = {"$inc": {"email_changes": 1}}
            if not await self._users.update(owner, asked, session=session):
                raise Gone("address")
            if len(await self._links.find(kept, fields=["_id"], limit=most, session=session)) == most:
                raise TooManyChanges
            await self._links.delete_many({"user_id": user_id, "purpose": CHANGE}, session=session)
            await self._insert(user_id, KEEP, keep, session)
            await self._insert(user_id, CHANGE, change, session)
            await self._audit.add(note, session=session)

        await self._database.transact_anew(write)

    async def _insert(self, user_id: int, purpose: str, draft: EmailLinkDraft, session: Session) -> None:
        document = {
            "_id": draft.digest,
            "user_id": user_id,
            "purpose": purpose,
            # Which came first: of two people who want their address back, the one who had it longer gets it.
            "number": self._ids.new(),
            "email": draft.email,
            "email_key": email_key(draft.email),
            "expires_at": draft.expires_at,
        }
        await self._links.insert(document, session=session)

    async def exists(self, *, digest: str, user_id: int, purpose: str) -> bool:
        """Whether the link is this user's and still good."""
        return await self._links.get(self._good(digest, user_id, purpose), fields=["_id"]) is not None

    async def verify(self, *, digest: str, user_id: int, note: AuditDraft) -> None:
        """Use a link up and mark the address as verified. Atomic; raises ``Gone`` where that cannot be (any more)."""

        async def write(session: Session) -> None:
            link = await self._use(digest, user_id, VERIFY, session)
            owner = {"_id": user_id, "is_active": True, "email_key": link["email_key"]}
            verified = {"$set": {"email_verified_at": self._clock.now()}}
            if not await self._users.update(owner, verified, session=session):
                raise Gone("address")
            await self._audit.add(note, session=session)

        await self._database.transact_anew(write)

    async def change(
        self, *, digest: str, user_id: int, control: ControlDraft, note: AuditDraft
    ) -> list[ControlRecord]:
        """Use a link up and make its address the account's. Atomic.

        Links to the old address, of a password too, end; but for those that keep it. Raises ``Gone``, and
        ``Duplicate("email_key")`` where somebody has the address by now: then the link stays.
        """

        async def write(session: Session) -> list[ControlRecord]:
            link = await self._use(digest, user_id, CHANGE, session)
            await self._set_address(user_id, link, {}, session)
            await self._links.delete_many({"user_id": user_id, "purpose": VERIFY}, session=session)
            await self._audit.add(note, session=session)
            return await self._controls.add([control], session=session)

        return await self._database.transact_anew(write)

    async def keep(
        self,
        *,
        digest: str,
        user_id: int,
        password_hash: str,
        reset_digest: str,
        reset_until: datetime,
        controls: Callable[[Sequence[str]], Sequence[ControlDraft]],
        note: AuditDraft,
    ) -> tuple[str, list[ControlRecord]]:
        """Use a link up: its address is the account's, whatever was changed since; gives it, with the controls. Atomic.

        The password becomes the one given, all sessions end (``controls`` is given their ids), and so do all links that
        are younger; ``reset_digest`` is the only one to set a password. Raises ``Gone`` and ``Duplicate("email_key")``.
        """

        async def write(session: Session) -> tuple[str, list[ControlRecord]]:
            link = await self._use(digest, user_id, KEEP, session)
            await self._set_address(user_id, link, {"password_hash": password_hash}, session)
            younger = {"user_id": user_id, "number": {"$gt": link["number"]}}
            await self._links.delete_many(younger, session=session)
            reset = {"_id": reset_digest, "user_id": user_id, "expires_at": reset_until}
            await self._resets.insert(reset, session=session)
            ended = await self._accounts.end_sessions(user_id, None, session)
            await self._audit.add(note, session=session)
            return link["email"], await self._controls.add(controls(ended), session=session)

        return await self._database.transact_anew(write)

    def _good(self, digest: str, user_id: int, purpose: str) -> dict[str, Any]:
        now = self._clock.now()
        return {"_id": digest, "user_id": user_id, "purpose": purpose, "expires_at": {"$gt": now}}

    async def _use(self, digest: str, user_id: int, purpose: str, session: Session) -> dict[str, Any]:
        good = self._good(digest, user_id, purpose)
        link = await self._links.get(good, session=session)
        if link is None or not await self._links.delete(good, session=session):
            raise Gone("link")
        return link

    async def _set_address(
        self, user_id: int, link: dict[str, Any], more: dict[str, Any], session: Session
    ) -> None:
        if await self._accounts.is_reserved(link["email_key"], user_id, session):
            raise Duplicate("email_key")
        changes = {
            "email": link["email"],
            "email_key": link["email_key"],
            "email_verified_at": self._clock.now(),
            **more,
        }
        if not await self._users.update(
            {"_id": user_id, "is_active": True}, {"$set": changes}, session=session
        ):
            raise Gone("user")
        await self._resets.delete_many({"user_id": user_id}, session=session)
