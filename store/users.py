"""People: accounts and group membership. Their erasure is in ``store.erasures``.

Passwords arrive hashed and addresses checked; which change is allowed is decided elsewhere.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from operator import attrgetter

from config.clock import Clock
from store.audit import Audit, AuditDraft
from store.controls import Controls
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.events import Events
from store.ids import IdSource
from store.invites import Invites
from store.pages import Page, PageRequest, read_page
from store.records import TRAINEE, TRAINER, ControlDraft, ControlRecord, Image, User

# The purpose of links that keep an address for the account that had it.
KEEP = "keep"
# What leaving a group changes of a trainee.
NO_GROUP = {
    "$set": {"parent_trainer": None, "joined_group_at": None},
    "$unset": {"announcements_read": ""},
}


def email_key(email: str) -> str:
    """The form of an address in which two spellings of it are one."""
    return email.strip().casefold()


class Users:
    def __init__(
        self,
        database: Database,
        *,
        events: Events,
        invites: Invites,
        controls: Controls,
        audit: Audit,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._database = database
        self._events = events
        self._invites = invites
        self._controls = controls
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._users = database.table("users")
        self._sessions = database.table("sessions")
        self._resets = database.table("password_resets")
        self._email_links = database.table("email_links")

    async def get(self, user_id: int) -> User | None:
        document = await self._users.get({"_id": user_id})
        return None if document is None else User.of(document)

    async def by_email(self, email: str) -> User | None:
        document = await self._users.get({"email_key": email_key(email)})
        return None if document is None else User.of(document)

    async def some(self, user_ids: Sequence[int]) -> dict[int, User]:
        """Give those of the named people that exist, by id, in one query."""
        documents = await self._users.find({"_id": {"$in": list(user_ids)}})
        return {document["_id"]: User.of(document) for document in documents}

    async def with_role(self, role: str) -> list[User]:
        """Give all active people of a role that few have: admins, ambassadors."""
        found = await self._users.find({"role": role, "is_active": True}, sort=[("_id", -1)])
        return [User.of(each) for each in found]

    async def add(
        self,
        *,
        email: str,
        password_hash: str,
        first_name: str,
        last_name: str,
        role: str,
        timezone: str,
        epoch: str,
        invite_code: str | None = None,
        referral_code: str | None = None,
        user_id: int | None = None,
        also: Callable[[User, Session], Awaitable[None]] | None = None,
    ) -> User:
        """Add an account; a trainer's group comes with it, an invite is used up with it. Atomic.

        ``epoch`` names the numbering of a new group's room; what ``also`` writes is part of it. Raises
        ``Duplicate("email_key")`` where the address is taken or reserved, ``Duplicate("_id")`` where ``user_id`` (reserved by an
        earlier try) was written by it, and ``Gone`` where the invite is unknown, expired, used up or revoked.
        """

        async def write(session: Session) -> User:
            now = self._clock.now()
            trainer_id = None
            if invite_code is not None and role == TRAINEE:
                trainer_id = await self._invites.use(invite_code, session=session)
            new_id = user_id if user_id is not None else self._ids.new()
            key = email_key(email)
            document = {
                "_id": new_id,
                "email": email,
                "email_key": key,
                "password_hash": password_hash,
                "first_name": first_name,
                "last_name": last_name,
                "role": role,
                "parent_trainer": trainer_id,
                "timezone": timezone,
                "auto_post_workouts": True,
                "is_active": True,
                "referral_code": referral_code,
                "joined_group_at": now if trainer_id else None,
                "created_at": now,
            }
            if await self.is_reserved(key, new_id, session):
                raise Duplicate("email_key")
            await self._users.insert(document, session=session)
            if role == TRAINER:
                await self._events.add_community(new_id, epoch=epoch, session=session)
            user = User.of(document)
            if also is not None:
                await also(user, session)
            return user

        while True:
            try:
                return await self._database.transact(write)
            except Duplicate as error:
                # Of `also`, a line of the audit trail may have met another's id.
                taken = user_id is not None and await self.get(user_id) is not None
                if error.key != "_id" or taken:
                    raise

    async def update(
        self, user_id: int, changes: Mapping[str, object], control: ControlDraft
    ) -> tuple[User, list[ControlRecord]]:
        """Set some fields of an active account; it is given as it is now, with its control. Atomic.

        Raises ``Gone``.
        """

        async def write(session: Session) -> tuple[User, list[ControlRecord]]:
            document = await self._users.change(
                {"_id": user_id, "is_active": True}, {"$set": dict(changes)}, session=session
            )
            if document is None:
                raise Gone("user")
            return User.of(document), await self._controls.add([control], session=session)

        return await self._database.transact(write)

    async def set_profile_image(
        self, user_id: int, image: Image | None, control: ControlDraft
    ) -> tuple[User, Image | None, list[ControlRecord]]:
        """Set or take away the picture of an active account; gives the picture before, too. Atomic.

        Raises ``Gone``.
        """
        change = (
            {"$unset": {"profile_image": ""}}
            if image is None
            else {"$set": {"profile_image": image.document}}
        )

        async def write(session: Session) -> tuple[User, Image | None, list[ControlRecord]]:
            before = await self._users.get({"_id": user_id, "is_active": True}, session=session)
            after = await self._users.change({"_id": user_id, "is_active": True}, change, session=session)
            if before is None or after is None:
                raise Gone("user")
            controls = await self._controls.add([control], session=session)
            return User.of(after), User.of(before).profile_image, controls

        return await self._database.transact(write)

    async def image_keys(self, keys: Sequence[str]) -> set[str]:
        """Give those of the keys that somebody's picture has, by one indexed query."""
        documents = await self._users.find(
            {"profile_image.key": {"$in": list(keys)}}, fields=["profile_image.key"]
        )
        return {document["profile_image"]["key"] for document in documents}

    async def with_images(self) -> AsyncIterator[User]:
        """Give everybody who has a picture."""
        async for document in self._users.scan({"profile_image.key": {"$gt": ""}}):
            yield User.of(document)

    async def set_password(
        self,
        user_id: int,
        password_hash: str,
        *,
        spare_session: str | None,
        reset_digest: str | None = None,
        control: Callable[[str], ControlDraft],
        note: AuditDraft,
    ) -> list[ControlRecord]:
        """Change the password and end all sessions but ``spare_session``: a control for each of them. Atomic.

        A link named by ``reset_digest`` is used up by it, and all others end. Raises ``Gone`` where that link
        was used meanwhile, and for an account that is not active.
        """

        async def write(session: Session) -> list[ControlRecord]:
            if reset_digest is not None and not await self._resets.delete(
                {"_id": reset_digest}, session=session
            ):
                raise Gone("link")
            change: dict[str, dict[str, object]] = {"$set": {"password_hash": password_hash}}
            if reset_digest is not None:
                # The link was mailed to the account's address.
                change["$set"]["email_verified_at"] = self._clock.now()
            if not await self._users.update({"_id": user_id, "is_active": True}, change, session=session):
                raise Gone("user")
            await self._resets.delete_many({"user_id": user_id}, session=session)
            ended = await self.end_sessions(user_id, spare_session, session)
            await self._audit.add(note, session=session)
            return await self._controls.add([control(each) for each in ended], session=session)

        return await self._database.transact_anew(write)

    async def end_sessions(self, user_id: int, spare_session: str | None, session: Session) -> list[str]:
        """End all sessions but ``spare_session`` as part of the caller's transaction; gives their ids."""
        live = await self._sessions.find(
            {"user_id": user_id, "revoked_at": None, "_id": {"$ne": spare_session}},
            fields=["_id"],
            session=session,
        )
        ended = [str(each["_id"]) for each in live]
        await self._sessions.update_many(
            {"_id": {"$in": ended}}, {"$set": {"revoked_at": self._clock.now()}}, session=session
        )
        return ended

    async def is_reserved(self, key: str, user_id: int, session: Session) -> bool:
        """Whether somebody else may still take the address back: see ``store.email_links``."""
        kept = {
            "email_key": key,
            "purpose": KEEP,
            "user_id": {"$ne": user_id},
            "expires_at": {"$gt": self._clock.now()},
        }
        return await self._email_links.get(kept, fields=["_id"], session=session) is not None

    async def trainees(self, trainer_id: int, request: PageRequest) -> Page[User]:
        """Give a page of the trainer's trainees, newest account first, by one indexed query."""
        where = {"parent_trainer": trainer_id}
        return await read_page(
            self._users, where, request, newest_first=True, record=User.of, id_of=attrgetter("id")
        )

    async def trainee_ids(self, trainer_id: int, *, after: int, limit: int) -> list[int]:
        """Give the trainer's trainees with an id above ``after``, the lowest first, by one covered query."""
        where = {"parent_trainer": trainer_id, "_id": {"$gt": after}}
        found = await self._users.find(where, sort=[("_id", 1)], limit=limit, fields=["_id"])
        return [each["_id"] for each in found]

    async def leave_group(
        self,
        user_id: int,
        trainer_id: int,
        controls: Sequence[ControlDraft],
        note: AuditDraft | None = None,
    ) -> list[ControlRecord]:
        """Take a trainee out of that trainer's group, with its controls. Atomic; ``Gone`` if they were not in it."""

        async def write(session: Session) -> list[ControlRecord]:
            left = await self._users.update(
                {"_id": user_id, "parent_trainer": trainer_id},
                NO_GROUP,
                session=session,
            )
            if not left:
                raise Gone("member")
            if note is not None:
                await self._audit.add(note, session=session)
            return await self._controls.add(controls, session=session)

        return await self._database.transact_anew(write)

    async def search(self, role: str, request: PageRequest, *, words: str, ids: Sequence[int]) -> Page[User]:
        """Give a page of the people of a role that few have, newest account first.

        Only these ``ids`` are meant. Each of ``words`` is part of the address or a name.
        """
        where: dict[str, object] = {"$and": [{"role": role}, {"_id": {"$in": list(ids)}}]}
        for word in words.split():
            part = {"$regex": re.escape(word), "$options": "i"}
            either = [{name: part} for name in ("email", "first_name", "last_name")]
            where = {"$and": [where, {"$or": either}]}
        return await read_page(
            self._users, where, request, newest_first=True, record=User.of, id_of=attrgetter("id")
        )

    async def is_empty(self) -> bool:
        """Whether nobody has an account yet."""
        return await self._users.is_empty()
