"""The audit trail: who did what to whom, when, from where. Lines are added and read, never changed or deleted.

Which deeds are worth a line is decided by those who do them; a line about a change belongs to its transaction.
"""

from collections.abc import Mapping, Sequence

from config.clock import Clock
from store.database import Database, Session
from store.ids import IdSource
from store.money_records import AuditEntry, Initiator


class Audit:
    def __init__(self, database: Database, ids: IdSource, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._entries = database.table("audit")

    async def add(
        self,
        by: Initiator,
        action: str,
        *,
        subject: str,
        details: Mapping[str, object] | None = None,
        session: Session | None = None,
    ) -> None:
        """Add a line, with ``session`` as part of that transaction. ``subject`` is such as ``payout:17``."""
        document = {
            "_id": self._ids.new(),
            "at": self._clock.now(),
            "user_id": by.user_id,
            "origin": by.origin,
            "action": action,
            "subject": subject,
            "details": dict(details or {}),
        }
        await self._entries.insert(document, session=session)

    async def about(self, subject: str) -> Sequence[AuditEntry]:
        """Give all lines about one thing, oldest first."""
        found = await self._entries.find({"subject": subject}, sort=[("_id", 1)])
        return [AuditEntry.of(each) for each in found]
