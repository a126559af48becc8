"""Announcements: made by a trainer, read by their trainees."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from config.deps import Deps
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person

OWN = "/api/trainer/announcements/"
RECEIVED = "/api/community/announcements/"
COUNT = f"{RECEIVED}unread-count/"
MARK = f"{RECEIVED}mark-read/"
NEW = {"title": "Saturday", "body": "We meet at **eight**."}


async def announce(trainer: Person, title: str = "News", **fields: Any) -> dict[str, Any]:
    answer = await trainer.post(OWN, {"title": title, "body": "All the best.", **fields})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


async def received(trainee: Person, path: str = RECEIVED) -> list[tuple[str, bool]]:
    """Give titles in order, and whether each is read."""
    answer = await trainee.get(path)
    assert answer.status == 200, answer.body
    return [(each["title"], each["is_read"]) for each in answer.json["results"]]


async def unread(trainee: Person) -> int:
    answer = await trainee.get(COUNT)
    assert answer.status == 200, answer.body
    found: int = answer.json["unread_count"]
    return found


async def test_announcement_is_made_and_shown_to_the_group(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    answer = await trainer.post(
        OWN, {"title": "  Saturday ", "body": " We meet at **eight**. ", "content_format": "markdown"}
    )
    assert answer.status == 201
    made = answer.json
    assert {**made, "id": 0, "created_at": ""} == {
        **NEW, "id": 0, "created_at": "", "content_format": "markdown", "is_pinned": False,
    }  # fmt: skip
    assert (await trainer.get(OWN)).json["results"] == [made]
    assert (await trainee.get(RECEIVED)).json["results"] == [{**made, "is_read": False}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"body": "x"}, "title"),
        ({"title": "x"}, "body"),
        ({**NEW, "title": "   "}, "title"),
        ({**NEW, "title": "x" * 201}, "title"),
        ({**NEW, "body": "\n"}, "body"),
        ({**NEW, "body": "x" * 5001}, "body"),
        ({**NEW, "content_format": "html"}, "content_format"),
        ({**NEW, "is_pinned": "yes"}, "is_pinned"),
        ({**NEW, "is_pinned": None}, "is_pinned"),
        ({**NEW, "number": 1}, "number"),
    ],
)
async def test_announcement_is_refused_when_a_field_is_wrong(groups: Groups, body: Any, field: str) -> None:
    trainer = await groups.trainer()
    made = await announce(trainer)
    answers = [await trainer.post(OWN, body), await trainer.put(f"{OWN}{made['id']}/", body)]
    if set(body) >= {"title", "body"}:
        answers.append(await trainer.patch(f"{OWN}{made['id']}/", body))
    for answer in answers:
        assert (answer.status, list(answer.json)) == (400, [field])
    assert (await trainer.get(OWN)).json["results"] == [made]


async def test_longest_title_and_body_are_kept_whole(groups: Groups) -> None:
    trainer = await groups.trainer()
    made = await announce(trainer, "ü" * 200, body="💪" * 5000)
    assert (made["title"], made["body"]) == ("ü" * 200, "💪" * 5000)


async def test_put_replaces_all_and_patch_changes_some(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    made = await announce(trainer, is_pinned=True, content_format="markdown")
    path = f"{OWN}{made['id']}/"
    patched = await trainer.patch(path, {"title": "$body"})
    assert patched.json == {**made, "title": "$body"}
    assert (await trainer.patch(path, {})).json == patched.json
    replaced = await trainer.put(path, NEW)
    assert replaced.json == {**made, **NEW, "content_format": "plain", "is_pinned": False}
    assert (await trainer.get(OWN)).json["results"] == [replaced.json]
    assert await received(trainee) == [("Saturday", False)]


async def test_announcement_of_another_trainer_is_out_of_reach(groups: Groups) -> None:
    trainer, other = await groups.trainer(), await groups.trainer()
    path = f"{OWN}{(await announce(trainer))['id']}/"
    for answer in (await other.put(path, NEW), await other.patch(path, NEW), await other.delete(path)):
        assert answer.status == 403
    assert (await trainer.delete(path)).status == 204
    for answer in (await trainer.put(path, NEW), await trainer.patch(path, NEW), await trainer.delete(path)):
        assert (answer.status, answer.json["detail"]) == (404, "Announcement not found.")
    assert (await trainer.get(OWN)).json["results"] == []


async def test_pinned_come_first_on_pages_that_neither_repeat_nor_hide(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    made = [await announce(trainer, f"{number}", is_pinned=number in {1, 4}) for number in range(7)]
    expected = ["4", "1", "6", "5", "3", "2", "0"]
    path, seen = f"{RECEIVED}?page_size=2", list[str]()
    while path:
        answer = await trainee.get(path)
        seen += [each["title"] for each in answer.json["results"]]
        path = answer.json["next"]
        # What comes between two pages moves nothing.
        await announce(trainer, "later", is_pinned=len(seen) == 2)
    assert seen == expected
    await trainer.patch(f"{OWN}{made[4]['id']}/", {"is_pinned": False})
    await trainer.patch(f"{OWN}{made[0]['id']}/", {"is_pinned": True})
    titles = [each["title"] for each in (await trainer.get(OWN)).json["results"] if each["title"] != "later"]
    assert titles == ["1", "0", "6", "5", "4", "3", "2"]
    last = (await trainee.get(f"{RECEIVED}?page_size=7")).json["next"]
    back = (await trainee.get((await trainee.get(last)).json["previous"])).json["results"]
    assert [each["title"] for each in back] == [
        title for title, _ in await received(trainee, f"{RECEIVED}?page_size=7")
    ]


async def test_mark_read_reads_all_up_to_now_for_one_trainee(groups: Groups) -> None:
    trainer, trainee, other = await groups.group(2)
    first = await announce(trainer, "first")
    await announce(trainer, "second", is_pinned=True)
    assert await unread(trainee) == 2
    marked = await trainee.post(MARK)
    assert (marked.status, marked.json) == (200, {"unread_count": 0})
    assert await received(trainee) == [("second", True), ("first", True)]
    assert (await unread(trainee), await unread(other)) == (0, 2)
    # A change is no news, pinned or not; deleting takes what was unread from the count.
    await trainer.patch(f"{OWN}{first['id']}/", {"title": "changed", "is_pinned": True})
    third = await announce(trainer, "third")
    assert await received(trainee) == [("second", True), ("changed", True), ("third", False)]
    assert await unread(trainee) == 1
    await trainer.delete(f"{OWN}{third['id']}/")
    assert (await unread(trainee), await unread(other)) == (0, 2)
    # The number of what was deleted is not given again.
    await announce(trainer, "fourth")
    assert await unread(trainee) == 1


async def test_mark_is_of_announcements_not_of_time(groups: Groups, deps: Deps, clock: FakeClock) -> None:
    """Another instance's clock may be behind: what it announces after the mark is unread all the same."""
    trainer, trainee = await groups.group(1)
    await announce(trainer, "before")
    await trainee.post(MARK)
    await announce(trainer, "same millisecond")
    now = clock.now()
    clock.jump(now - timedelta(minutes=1))
    await deps.store.announcements.add(
        community_id=trainer.id,
        title="by a clock that is behind",
        body="x",
        content_format="plain",
        is_pinned=False,
    )
    clock.jump(now)
    assert await received(trainee) == [
        ("by a clock that is behind", False), ("same millisecond", False), ("before", True),
    ]  # fmt: skip
    assert await unread(trainee) == 2


async def test_nothing_unseen_is_marked_when_all_announce_and_mark_at_once(
    groups: Groups, deps: Deps
) -> None:
    trainer, trainee = await groups.group(1)

    async def mark() -> int:
        return await deps.store.announcements.mark_read(trainee.id, trainer.id)

    async def seen() -> int:
        return len((await trainee.get(f"{RECEIVED}?page_size=50")).json["results"])

    async def read_and_mark() -> None:
        shown = await seen()
        assert await mark() >= shown

    for _ in range(3):
        await asyncio.gather(read_and_mark(), *(announce(trainer) for _ in range(6)), read_and_mark())
    numbers = [
        each["number"]
        async for each in deps.store.database.raw["announcements"].find({"community_id": trainer.id})
    ]
    assert sorted(numbers) == list(range(1, 19))
    # An earlier mark that arrives late takes nothing back.
    await mark()
    assert await unread(trainee) == 0


async def test_trainee_without_trainer_has_no_announcements(groups: Groups) -> None:
    alone = await groups.trainee()
    assert await received(alone) == []
    assert await unread(alone) == 0
    assert (await alone.post(MARK)).json == {"unread_count": 0}


async def test_s1_announcements_and_marks_stay_within_their_group(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    stranger, outsider = await groups.group(1)
    await announce(trainer)
    await trainee.post(MARK)
    assert await received(outsider) == []
    assert (await stranger.get(OWN)).json["results"] == []
    await trainer.delete(f"/api/trainer/trainees/{trainee.id}/")
    assert await received(trainee) == []
    # A mark that comes late, of a group that was left, is not written.
    await deps.store.announcements.mark_read(trainee.id, trainer.id)
    document = await deps.store.database.raw["users"].find_one({"_id": trainee.id})
    assert document is not None
    assert "announcements_read" not in document


async def test_newcomer_has_read_nothing_yet(groups: Groups) -> None:
    trainer = await groups.trainer()
    await announce(trainer, "Welcome", is_pinned=True)
    trainee = await groups.trainee(trainer)
    assert await received(trainee) == [("Welcome", False)]
    assert await unread(trainee) == 1


async def test_s44_announcements_end_with_their_trainer(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    await announce(trainer, "canary-7f3a")
    await trainee.post(MARK)
    assert (await trainer.delete("/api/auth/users/me/", {"current_password": PASSWORD})).status == 204
    assert await received(trainee) == []
    raw = deps.store.database.raw
    assert await raw["announcements"].count_documents({"community_id": trainer.id}) == 0
    assert (
        await raw["users"].count_documents({"_id": trainee.id, "announcements_read": {"$exists": True}}) == 0
    )


async def test_s44_read_mark_ends_with_its_trainee(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    await announce(trainer)
    await trainee.post(MARK)
    await trainee.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    document = await deps.store.database.raw["users"].find_one({"_id": trainee.id})
    assert document is not None
    assert "announcements_read" not in document


async def test_announcement_is_made_once_when_its_key_is_sent_again(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    key = {"Idempotency-Key": "a"}
    first = await trainer.post(OWN, NEW, headers=key)
    again = await trainer.post(OWN, NEW, headers=key)
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.json == again.json
    # As after a crash between the write and the kept answer: the same id again.
    written = await deps.store.announcements.add(
        community_id=trainer.id,
        content_format="plain",
        is_pinned=False,
        announcement_id=first.json["id"],
        **NEW,
    )
    assert written.id == first.json["id"]
    assert await unread(trainee) == 1
    reused = await trainer.post(OWN, {**NEW, "title": "Sunday"}, headers=key)
    assert (reused.status, reused.json["code"]) == (422, "idempotency_key_reused")


async def test_polled_reads_answer_304_until_something_changes(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    await announce(trainer)
    for person, path in ((trainer, OWN), (trainee, RECEIVED), (trainee, COUNT)):
        tag = {"If-None-Match": (await person.get(path)).headers["ETag"]}
        assert (await person.get(path, headers=tag)).status == 304
        await announce(trainer)
        assert (await person.get(path, headers=tag)).status == 200
