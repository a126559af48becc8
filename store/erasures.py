"""Erasing people: all that is theirs alone goes at once, and which files remain is written down until they are gone.

What was posted to the group stays, with an author who has no name any more; ids and times stay, so that money keeps its
owner. Deleting files is not done here.
"""

from collections.abc import Sequence

from config.clock import Clock
from store.audit import Audit, AuditDraft
from store.controls import Controls
from store.daily_logs import logs_of
from store.database import Database, Session
from store.invites import Invites
from store.notices import Notices
from store.records import TRAINER, ControlDraft, ControlRecord, Image, User
from store.users import NO_GROUP

# What erasure takes away. Id, role, group and times stay, so that posts keep an author and money its owner.
PERSONAL_FIELDS = (
    "email", "email_key", "email_verified_at", "email_changes", "export_asked_at",
    "password_hash", "first_name", "last_name", "timezone", "goal_weight_kg",
    "auto_post_workouts", "referral_code", "leaderboard_opt_in", "leaderboards", "training",
    "announcements_read", "has_posted", "has_commented", "achievements_due", "achievements_earned",
    "profile_image",
)  # fmt: skip
# Collections whose documents with this `user_id` go as a whole.
OWNED = ("sessions", "password_resets", "email_links", "idempotency", "device_tokens", "awards")


class Erasures:
    def __init__(
        self,
        database: Database,
        *,
        invites: Invites,
        controls: Controls,
        notices: Notices,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._database = database
        self._invites = invites
        self._controls = controls
        self._audit = audit
        self._clock = clock
        self._erasures = database.table("erasures")
        self._owned = [database.table(name) for name in OWNED]
        self._users = database.table("users")
        self._exports = database.table("exports")
        self._email_links = database.table("email_links")
        self._idempotency = database.table("idempotency")
        self._daily_logs = database.table("daily_logs")
        self._notices = notices
        self._announcements = database.table("announcements")
        # Whose address the payment service knows; here it was needed to be asked for the same thing again.
        self._known_to_stripe = [database.table(name) for name in ("billing_customers", "connect_accounts")]

    async def begin(
        self, user: User, controls: Sequence[ControlDraft], note: AuditDraft | None = None
    ) -> list[ControlRecord]:
        """Deactivate an account, take its personal data away and end its sessions. Atomic.

        Gives its controls. The address is free again. A trainer's trainees leave the group with them, their
        invites end, and their announcements are deleted. Files are left to be deleted: see ``pending``. Doing it twice
        changes nothing more.
        """

        async def write(session: Session) -> list[ControlRecord]:
            files = await self._erase_account(user.id, session)
            for table in self._owned:
                await table.delete_many({"user_id": user.id}, session=session)
            # Answers to whoever made the account: nobody was logged in, or an admin was.
            await self._idempotency.delete_many({"reserved_id": user.id}, session=session)
            await self._daily_logs.delete_many(logs_of(user.id), session=session)
            await self._notices.erase(user.id, session=session)
            for table in self._known_to_stripe:
                await table.update({"_id": user.id}, {"$set": {"email": ""}}, session=session)
            if user.role == TRAINER:
                await self._dissolve(user.id, session)
            await self._erasures.change(
                {"_id": user.id}, {"$addToSet": {"files": {"$each": files}}}, upsert=True, session=session
            )
            if note is not None:
                await self._audit.add(note, session=session)
            return await self._controls.add(controls, session=session)

        return await self._database.transact_anew(write)

    async def _erase_account(self, user_id: int, session: Session) -> list[str]:
        """Give the files that were the account's: its picture, and its export."""
        before = await self._users.change(
            {"_id": user_id},
            {
                "$unset": dict.fromkeys(PERSONAL_FIELDS, ""),
                "$set": {"is_active": False, "parent_trainer": None, "deleted_at": self._clock.now()},
            },
            before=True,
            session=session,
        )
        if before is None:
            return []
        if "email_key" in before:
            # Somebody else may have typed the address, too.
            await self._email_links.delete_many({"email_key": before["email_key"]}, session=session)
        image = Image.of(before.get("profile_image"))
        files = list(image.names) if image is not None else []
        export = await self._exports.get({"_id": user_id}, fields=["name"], session=session)
        if export is not None:
            await self._exports.delete({"_id": user_id}, session=session)
            files.append(export["name"])
        return files

    async def _dissolve(self, trainer_id: int, session: Session) -> None:
        await self._invites.revoke_all(trainer_id, at=self._clock.now(), session=session)
        await self._users.update_many({"parent_trainer": trainer_id}, NO_GROUP, session=session)
        await self._announcements.delete_many({"community_id": trainer_id}, session=session)

    # What remains

    async def pending(self) -> list[int]:
        """Give the people of whom files may be left."""
        return [each["_id"] for each in await self._erasures.find({}, fields=["_id"])]

    async def files(self, user_id: int) -> list[str]:
        """Give the files that are left to be deleted."""
        found = await self._erasures.get({"_id": user_id}, fields=["files"])
        return [] if found is None else list(found["files"])

    async def finish(self, user_id: int, files: Sequence[str]) -> None:
        """These files are deleted, and no others were left."""
        await self._erasures.delete({"_id": user_id, "files": list(files)})
