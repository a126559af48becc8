"""What people hear who are away: where pending notices, the group's people and their devices meet ``push``.

The words are in ``push.notices``; which change tells whom is said by the operation that makes it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from community.actor import Actor
from config.deps import Deps
from push.gateway import MOST_AT_ONCE, Push
from push.notices import Notice
from push.phones import Chunk, Target
from store.notices import NoticeDraft, PendingNotice
from store.records import DeviceToken, Post, User
from store.store import Store


def name_of(user: User) -> str:
    return f"{user.first_name} {user.last_name}".strip()


def to_author(deps: Deps, actor: Actor, post: Post, notice: Notice) -> NoticeDraft | None:
    """Give what to keep for a post's author of what the actor did; None where nobody is to be told.

    Nobody is told of their own act. The author hears of it only while they belong to the group.
    """
    if actor.id == post.author_id or not deps.phones.wants(notice):
        return None
    return NoticeDraft(
        recipient_id=post.author_id,
        community_id=post.community_id,
        actor_id=actor.id,
        content=asdict(notice),
    )


def to_group(deps: Deps, actor: Actor, notice: Notice) -> NoticeDraft | None:
    """Give what to keep for all trainees of the actor, a trainer; None where pushes are not set up."""
    if not deps.phones.wants(notice):
        return None
    return NoticeDraft(recipient_id=None, community_id=actor.id, actor_id=actor.id, content=asdict(notice))


def to_oneself(deps: Deps, user_id: int, notice: Notice) -> NoticeDraft | None:
    """Give what to keep for somebody of what they reached; None where pushes are not set up."""
    if not deps.phones.wants(notice):
        return None
    return NoticeDraft(recipient_id=user_id, community_id=None, actor_id=None, content=asdict(notice))


def accept(deps: Deps, draft: NoticeDraft | None) -> None:
    """Have sent what was kept with its cause; returns at once, and never raises."""
    if draft is not None:
        deps.phones.accept(Notice.of(draft.content), to_many=draft.recipient_id is None)


class NoticeDesk:
    """The store as ``push`` sees it: pending notices, and the devices they go to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._notices = store.notices

    async def claim(self, lane: str, limit: int) -> list[PendingNotice]:
        return await self._notices.claim(lane, limit=limit)

    async def chunks(self, claimed: Sequence[PendingNotice]) -> Mapping[str, Chunk]:
        """Give whom they go to next. Somebody who has left the group since, or is erased, hears nothing of it."""
        if not claimed:
            return {}
        caused = await self._notices.caused(claimed)
        there = [each for each in claimed if each.id in caused]
        found = await self._to_some([each for each in there if not each.walks])
        for each in there:
            if each.walks:
                found[each.id] = await self._next_of(each)
        return found

    async def _to_some(self, notices: Sequence[PendingNotice]) -> dict[str, Chunk]:
        """Give the devices of single recipients, and those that wait for another try."""
        if not notices:
            return {}
        waiting = [device_id for each in notices for device_id in each.waiting or ()]
        recipients = {each.recipient_id for each in notices if each.recipient_id and each.waiting is None}
        devices = await self._store.device_tokens.some(waiting) if waiting else []
        if recipients:
            devices += await self._store.device_tokens.active(list(recipients))
        owners = {device.user_id for device in devices}
        users = await self._store.users.some(list(owners)) if owners else {}
        found: dict[str, Chunk] = {}
        for each in notices:
            own = [device for device in devices if _is_for(each, device, users.get(device.user_id))]
            found[each.id] = Chunk(await self._targets(each, own[:MOST_AT_ONCE]))
        return found

    async def _next_of(self, walk: PendingNotice) -> Chunk:
        """Give the next people of a group with devices; a person's devices stay together."""
        trainer_id = walk.community_id or 0
        chosen: list[DeviceToken] = []
        after = walk.after
        while True:
            people = await self._store.users.trainee_ids(trainer_id, after=after, limit=MOST_AT_ONCE)
            room = MOST_AT_ONCE - len(chosen)
            devices = await self._store.device_tokens.active(people, limit=room + 1) if people else []
            if len(devices) > room:
                # Of this person there may be more than were read: their turn comes next.
                after = devices[room].user_id - 1
                chosen += [device for device in devices if device.user_id <= after]
                return Chunk(await self._targets(walk, chosen), after, is_last=False)
            chosen += devices
            after = people[-1] if people else after
            if len(people) < MOST_AT_ONCE:
                return Chunk(await self._targets(walk, chosen), after)

    async def _targets(self, notice: PendingNotice, devices: Sequence[DeviceToken]) -> list[Target]:
        """Give the pushes, with what the icon is to show: the announcements that are not read yet."""
        said = Notice.of(notice.content)
        badges: Mapping[int, int] = {}
        if notice.community_id is not None and devices:
            people = list({device.user_id for device in devices})
            badges = await self._store.announcements.unread_of(notice.community_id, people)
        return [
            Target(device.id, Push(token=device.token, notice=said, badge=badges.get(device.user_id)))
            for device in devices
        ]

    async def begin(self, claim: str, counts: Mapping[str, int], after: int | None) -> Collection[str]:
        return await self._notices.begin(claim, counts, after=after)

    async def finish(self, claim: str, ids: Sequence[str]) -> None:
        await self._notices.finish(claim, ids)

    async def go_on(self, kept: PendingNotice) -> None:
        await self._notices.go_on(kept.claim, kept.id)

    async def postpone(self, kept: PendingNotice, device_ids: Sequence[int], wait_seconds: float) -> None:
        await self._notices.postpone(kept, device_ids, wait=timedelta(seconds=wait_seconds))

    async def bury(self, device_ids: Sequence[int]) -> None:
        await self._store.device_tokens.bury(device_ids)


def _is_for(notice: PendingNotice, device: DeviceToken, owner: User | None) -> bool:
    """Whether a device is one that this notice goes to now."""
    if notice.waiting is not None:
        if device.id not in notice.waiting:
            return False
    elif device.user_id != notice.recipient_id:
        return False
    if owner is None or not owner.is_active:
        return False
    return notice.community_id is None or owner.community_id == notice.community_id
