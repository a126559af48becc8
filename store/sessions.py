"""Log-ins: one document a device, whose refresh token changes with each use.

Tokens are not made here; only their digests arrive, so whoever reads the database can use none of them.
"""

from collections.abc import Sequence
from datetime import datetime

from config.clock import Clock
from store.audit import Audit, AuditDraft
from store.controls import Controls
from store.database import Database, Session
from store.records import ControlDraft, ControlRecord, SessionRecord, User


class Sessions:
    def __init__(self, database: Database, controls: Controls, audit: Audit, clock: Clock) -> None:
        self._database = database
        self._controls = controls
        self._audit = audit
        self._clock = clock
        self._sessions = database.table("sessions")
        self._users = database.table("users")

    async def add(
        self,
        *,
        session_id: str,
        user_id: int,
        refresh_digest: str,
        at: datetime,
        expires_at: datetime,
        note: AuditDraft | None = None,
    ) -> SessionRecord:
        """Begin a family, with a line in the audit trail if there is one to write. Atomic."""
        document = {
            "_id": session_id,
            "user_id": user_id,
            "generation": 1,
            "refresh_digest": refresh_digest,
            "previous_digest": None,
            "rotated_at": at,
            "created_at": at,
            "expires_at": expires_at,
            "revoked_at": None,
        }

        async def write(session: Session) -> None:
            await self._sessions.insert(document, session=session)
            if note is not None:
                await self._audit.add(note, session=session)

        await self._database.transact_anew(write)
        return SessionRecord.of(document)

    async def get(self, session_id: str) -> SessionRecord | None:
        document = await self._sessions.get({"_id": session_id})
        return None if document is None else SessionRecord.of(document)

    async def users_of(self, session_ids: Sequence[str]) -> dict[str, User]:
        """Give the active owners of those sessions that have not ended, by session, in two queries."""
        live = await self._sessions.find(
            {"_id": {"$in": list(session_ids)}, "revoked_at": None, "expires_at": {"$gt": self._clock.now()}},
            fields=["user_id"],
        )
        wanted = list({each["user_id"] for each in live})
        users = await self._users.find({"_id": {"$in": wanted}, "is_active": True}) if wanted else []
        owners = {document["_id"]: User.of(document) for document in users}
        return {each["_id"]: owners[each["user_id"]] for each in live if each["user_id"] in owners}

    async def rotate(
        self, session: SessionRecord, *, digest: str, fresh_digest: str, at: datetime, expires_at: datetime
    ) -> SessionRecord | None:
        """Put ``fresh_digest`` in the place of ``digest`` and count the generation up.

        A compare-and-set: None when the token is not the newest of its family (any more), or the family ended.
        """
        document = await self._sessions.change(
            {
                "_id": session.id,
                "generation": session.generation,
                "refresh_digest": digest,
                "revoked_at": None,
                "expires_at": {"$gt": at},
            },
            {
                "$set": {
                    "refresh_digest": fresh_digest,
                    "previous_digest": digest,
                    "rotated_at": at,
                    "expires_at": expires_at,
                },
                "$inc": {"generation": 1},
            },
        )
        return None if document is None else SessionRecord.of(document)

    async def rotated_from(self, session_id: str, digest: str) -> SessionRecord | None:
        """Give the family as it is now if ``digest`` is the immediate predecessor of its newest token."""
        document = await self._sessions.get(
            {"_id": session_id, "previous_digest": digest, "revoked_at": None}
        )
        return None if document is None else SessionRecord.of(document)

    async def revoke(
        self, session_id: str, control: ControlDraft, note: AuditDraft | None = None
    ) -> list[ControlRecord]:
        """End a family, and give the control that goes with it. Atomic; nothing when it had ended, or never was."""

        async def write(session: Session) -> list[ControlRecord]:
            ended = await self._sessions.update(
                {"_id": session_id, "revoked_at": None},
                {"$set": {"revoked_at": self._clock.now()}},
                session=session,
            )
            if ended and note is not None:
                await self._audit.add(note, session=session)
            return await self._controls.add([control] if ended else [], session=session)

        return await self._database.transact_anew(write)
