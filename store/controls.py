"""The control log: what every instance has to do after a change of rights, written in that change's transaction.

Messages between instances are fast and may be lost; this is what they are measured against. What a control means
is decided by who carries it out.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from config.clock import Clock
from store.database import Database, Session
from store.records import ControlDraft, ControlRecord

# An instance asks every second for the last seconds; what is older than this was heard, or closed by the token's end.
KEPT_FOR = timedelta(minutes=5)


class Controls:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._controls = database.table("controls")

    async def add(self, drafts: Sequence[ControlDraft], *, session: Session) -> list[ControlRecord]:
        """Write them as part of the caller's transaction and give them with their ids."""
        if not drafts:
            return []
        at = self._clock.now()
        documents = [
            {
                "_id": secrets.token_hex(12),
                "kind": draft.kind,
                "target": draft.target,
                "code": draft.code,
                "at": at,
            }
            for draft in drafts
        ]
        await self._controls.insert_many(documents, session=session)
        return [ControlRecord.of(document) for document in documents]

    async def since(self, at: datetime) -> list[ControlRecord]:
        """Give those written at ``at`` or later, in order, by one indexed query.

        ``at`` is the writer's time inside its transaction, which may commit seconds later and by another clock.
        """
        documents = await self._controls.find({"at": {"$gte": at}}, sort=[("at", 1)])
        return [ControlRecord.of(document) for document in documents]
