"""Exports of one's own data: who asked, who is making it, which file it became, and the digests of its links.

At most one a person. What is in an export, and where it lies, is not known here.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from config.clock import Clock
from store.audit import Audit, AuditDraft
from store.database import Database, Session
from store.errors import Duplicate, Gone

# ASKED: to be made. MADE: to be told of. Both are somebody's duty until they are READY, or FAILED too often.
ASKED, MADE, READY, FAILED = "asked", "made", "ready", "failed"
# Renewed while it is made, every 10 s or so: what a dead instance had claimed is taken up within a minute.
CLAIM_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One person's export. ``name`` is its file's among the media, ``base_url`` where it was asked for."""

    user_id: int
    name: str
    base_url: str
    state: str
    size_bytes: int | None
    tries: int
    claim: str
    requested_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Export":
        return cls(
            user_id=document["_id"],
            name=document["name"],
            base_url=document["base_url"],
            state=document["state"],
            size_bytes=document["size_bytes"],
            tries=document["tries"],
            claim=document["claim"],
            requested_at=document["requested_at"],
            expires_at=document.get("expires_at"),
        )


class Exports:
    def __init__(self, database: Database, audit: Audit, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._exports = database.table("exports")
        self._users = database.table("users")

    async def ask(self, user_id: int, *, name: str, base_url: str, note: AuditDraft) -> Export:
        """Give a person's export: the one there is, else a new one that is to be made. Of two at once, one is. Atomic.

        Raises ``Gone`` for an account that is not active.
        """
        now = self._clock.now()
        document = {
            "_id": user_id,
            "name": name,
            "base_url": base_url,
            "state": ASKED,
            "size_bytes": None,
            "links": [],
            "tries": 0,
            "claim": "",
            "claimed_until": now,
            "requested_at": now,
        }

        async def write(session: Session) -> Export:
            # Whoever deletes the account at the same time meets this write.
            asked = {"$set": {"export_asked_at": now}}
            if not await self._users.update({"_id": user_id, "is_active": True}, asked, session=session):
                raise Gone("user")
            await self._exports.delete({"_id": user_id, "expires_at": {"$lte": now}}, session=session)
            found = await self._exports.get({"_id": user_id}, session=session)
            if found is None:
                await self._exports.insert(document, session=session)
                await self._audit.add(note, session=session)
            return Export.of(found or document)

        while True:
            try:
                return await self._database.transact(write)
            except Duplicate:
                continue  # somebody asked at the same time, or a line of the trail met another's id: look again

    async def claim(self) -> Export | None:
        """Take an export that is to be made or told of, for a minute; None where there is none."""
        now = self._clock.now()
        document = await self._exports.change(
            {"state": {"$in": [ASKED, MADE]}, "claimed_until": {"$lte": now}},
            {
                "$set": {"claim": secrets.token_hex(8), "claimed_until": now + CLAIM_FOR},
                "$inc": {"tries": 1},
            },
        )
        return None if document is None else Export.of(document)

    async def renew(self, export: Export) -> None:
        """Keep a claim for another minute. Raises ``Gone`` where it is somebody else's, or the account was deleted."""
        await self._change(export, {"claimed_until": self._clock.now() + CLAIM_FOR})

    async def made(self, export: Export, *, size_bytes: int, expires_at: datetime) -> Export:
        """The file is there. Raises ``Gone``."""
        return await self._change(
            export, {"state": MADE, "size_bytes": size_bytes, "expires_at": expires_at, "tries": 0}
        )

    async def add_link(self, export: Export, digest: str) -> None:
        """Let a link open it, too: what an earlier try has mailed may have arrived. Raises ``Gone``."""
        await self._change(export, {}, {"$push": {"links": digest}})

    async def ready(self, export: Export) -> None:
        """Its owner was told. Raises ``Gone``."""
        await self._change(export, {"state": READY})

    async def again(self, export: Export, at: datetime) -> None:
        """Let somebody try again at a time. Raises ``Gone``."""
        await self._change(export, {"claimed_until": at})

    async def fail(self, export: Export, *, expires_at: datetime) -> None:
        """Give it up; its owner may ask again after that time. Raises ``Gone``."""
        await self._change(export, {"state": FAILED, "expires_at": expires_at})

    async def _change(
        self, export: Export, changes: Mapping[str, object], more: Mapping[str, object] | None = None
    ) -> Export:
        where = {"_id": export.user_id, "name": export.name, "claim": export.claim}
        document = await self._exports.change(
            where, {"$set": {**changes, "claim": export.claim}, **(more or {})}
        )
        if document is None:
            raise Gone("export")
        return Export.of(document)

    async def opened(self, user_id: int, digest: str) -> Export | None:
        """Give the export that a link opens; None for a link that opens none (any more)."""
        document = await self._exports.get(
            {"_id": user_id, "links": digest, "expires_at": {"$gt": self._clock.now()}}
        )
        return None if document is None else Export.of(document)

    async def names(self, names: Sequence[str]) -> set[str]:
        """Give those of the files that belong to an export, by one indexed query."""
        documents = await self._exports.find({"name": {"$in": list(names)}}, fields=["name"])
        return {document["name"] for document in documents}
