"""The audit trail: who did what to whom, when, from where. Lines are added and read, never changed.

Which deeds are worth a line is decided by those who do them; a line about a change belongs to its transaction. Lines
hold ids and digests, no names, addresses of mail or words of anybody; how long they are kept is said here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from config.clock import Clock
from store.database import Database, Session
from store.errors import Duplicate
from store.ids import IdSource, first_id_at
from store.pages import Page, PageRequest, read_page

# By the first word of the action; what is not here (payouts, rates, admins) is kept for good. A line goes as a whole, and
# with it the client's address. Log-ins are looked into within weeks; what became of an account, within a year.
KEPT_FOR: Mapping[str, timedelta] = {
    "refused": timedelta(days=30),
    "session": timedelta(days=90),
    "account": timedelta(days=365),
    "password": timedelta(days=365),
    "email": timedelta(days=365),
    "member": timedelta(days=365),
    "export": timedelta(days=365),
}


@dataclass(frozen=True, slots=True)
class Initiator:
    """Who wanted something: a person (None: nobody known, or the server itself), from an address or a terminal."""

    user_id: int | None
    origin: str


@dataclass(frozen=True, slots=True)
class AuditDraft:
    """A line to be written. ``subject`` is such as ``payout:17``, ``action`` such as ``payout.claimed``."""

    by: Initiator
    action: str
    subject: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit trail: who did what to whom, when, from where."""

    id: int
    at: datetime
    user_id: int | None
    origin: str
    action: str
    subject: str
    details: Mapping[str, object]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "AuditEntry":
        return cls(
            id=document["_id"],
            at=document["at"],
            user_id=document["user_id"],
            origin=document["origin"],
            action=document["action"],
            subject=document["subject"],
            details=document["details"],
        )


def user_subject(user_id: int) -> str:
    """The name of a person in the audit trail."""
    return f"user:{user_id}"


class Audit:
    def __init__(self, database: Database, ids: IdSource, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._entries = database.table("audit")

    async def add(self, draft: AuditDraft, *, session: Session | None = None) -> None:
        """Add a line, with ``session`` as part of that transaction."""
        await self._entries.insert(self._document(draft), session=session)

    async def add_once(self, draft: AuditDraft, key: str) -> None:
        """Add a line unless there is one of this ``key``: what strangers can do as often as they like."""
        while True:
            try:
                await self._entries.insert({**self._document(draft), "once": key})
                return
            except Duplicate as error:
                if error.key != "_id":
                    return

    def _document(self, draft: AuditDraft) -> dict[str, Any]:
        now = self._clock.now()
        kept_for = KEPT_FOR.get(draft.action.partition(".")[0])
        return {
            "_id": self._ids.new(),
            "at": now,
            "user_id": draft.by.user_id,
            "origin": draft.by.origin,
            "action": draft.action,
            "subject": draft.subject,
            "details": dict(draft.details),
            **({"expires_at": now + kept_for} if kept_for else {}),
        }

    async def about(self, subject: str) -> Sequence[AuditEntry]:
        """Give all lines about one thing, oldest first."""
        found = await self._entries.find({"subject": subject}, sort=[("_id", 1)])
        return [AuditEntry.of(each) for each in found]

    async def page(
        self,
        request: PageRequest,
        *,
        user_id: int | None = None,
        action: str | None = None,
        subject: str | None = None,
        before: datetime | None = None,
    ) -> Page[AuditEntry]:
        """Give a page of the lines that fit all of these, newest first; each of them alone is an indexed query.

        ``before`` is a time, not inclusive; it is compared with the ids, whose first part is the time.
        """
        named = {"user_id": user_id, "action": action, "subject": subject}
        where: dict[str, object] = {name: value for name, value in named.items() if value is not None}
        if before is not None:
            where["$and"] = [{"_id": {"$lt": first_id_at(int(before.timestamp() * 1000))}}]
        return await read_page(
            self._entries, where, request, newest_first=True, record=AuditEntry.of, id_of=attrgetter("id")
        )
