"""Who hears of what while away: each notice's recipient and words, and all that keeps one from being sent."""

import secrets
from dataclasses import replace

import pytest

from community.achievements import seed
from config.deps import Deps
from push.phones import Phones
from store.notices import IS_NOTICE, PendingNotice
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.phones import FakeGateway, counted, left, phones_of, send_all, with_device


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def deps(deps: Deps, gateway: FakeGateway) -> Deps:
    """With phones whose sending is the test's: `send_all`. A first post earns nothing here (each start seeds again)."""
    await deps.store.database.table("events").delete_many(dict(IS_NOTICE))
    await deps.store.database.table("achievements").delete_many({})
    return replace(deps, phones=phones_of(deps, gateway))


@pytest.fixture
def phones(deps: Deps) -> Phones[PendingNotice]:
    return deps.phones


async def equipped(*people: Person) -> list[str]:
    """Give each of them a phone."""
    return [await with_device(person, secrets.token_hex(8)) for person in people]


async def test_comment_is_told_to_the_author(
    groups: Groups, phones: Phones[PendingNotice], gateway: FakeGateway
) -> None:
    trainer, trainee = await groups.group(1)
    token, _ = await equipped(trainer, trainee)
    post = await trainer.write()
    await trainee.comment(post["id"], "c" * 49 + "e\u0301 and more")
    await send_all(phones)
    (push,) = gateway.taken
    assert push.token == token
    assert push.notice.title == "Trainee Person commented on your post"
    assert push.notice.body == "c" * 49
    assert push.notice.data == {"type": "comment", "post_id": str(post["id"])}


async def test_reaction_is_told_to_the_author_and_its_removal_is_not(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice], gateway: FakeGateway
) -> None:
    trainer, trainee = await groups.group(1)
    (token,) = await equipped(trainee)
    post = await trainee.write("p" * 51)
    await trainer.react(post["id"])
    await send_all(phones)
    (push,) = gateway.to(token)
    assert push.notice.title == "Trainer Person reacted to your post"
    assert push.notice.body == "p" * 50
    assert push.notice.data == {"type": "post_reaction", "post_id": str(post["id"])}
    await trainer.react(post["id"])
    assert not await left(deps.store)


async def test_nobody_is_told_of_their_own_act(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice]
) -> None:
    trainer = await groups.trainer()
    await equipped(trainer)
    post = await trainer.write()
    await trainer.comment(post["id"])
    await trainer.react(post["id"])
    assert not await left(deps.store)
    assert counted(deps, "push_notices") == {}


async def test_announcement_is_told_to_the_group_with_what_is_unread(
    groups: Groups, phones: Phones[PendingNotice], gateway: FakeGateway
) -> None:
    trainer, reader, other = await groups.group(2)
    outsider = await groups.trainee((await groups.group(0))[0])
    tokens = await equipped(reader, other, trainer, outsider)
    first = await trainer.post("/api/trainer/announcements/", {"title": "Holidays", "body": "Long."})
    assert first.status == 201
    await send_all(phones)
    await reader.post("/api/community/announcements/mark-read/")
    await trainer.post("/api/trainer/announcements/", {"title": "t" * 101, "body": "Long."})
    await send_all(phones)
    assert [push.badge for push in gateway.to(tokens[0])] == [1, 1]
    assert [push.badge for push in gateway.to(tokens[1])] == [1, 2]
    assert len(gateway.taken) == 4
    push = gateway.taken[-1]
    assert push.notice.title == "New Announcement from Trainer Person"
    assert push.notice.body == "t" * 100
    assert push.notice.data == {"type": "announcement", "trainer_id": str(trainer.id)}


async def test_achievement_is_told_to_whoever_earned_it(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice], gateway: FakeGateway
) -> None:
    await seed(deps.store)
    trainer, trainee = await groups.group(1)
    token, _ = await equipped(trainee, trainer)
    await trainee.write()
    await send_all(phones)
    (push,) = gateway.taken
    assert push.token == token
    assert push.notice.title == "Achievement Unlocked!"
    (earned,) = (await trainee.get("/api/community/achievements/recent/")).json["results"]
    assert push.notice.body == earned["name"]
    assert push.notice.data == {"type": "achievement", "achievement_id": str(earned["id"])}


async def test_author_hears_of_one_comment_and_one_reaction_in_five_minutes(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice], gateway: FakeGateway, clock: FakeClock
) -> None:
    trainer, one, two = await groups.group(2)
    await equipped(trainer)
    post, another = await trainer.write(), await trainer.write()
    for person in (one, two):
        await person.comment(post["id"])
        await person.react(post["id"])
    await one.comment(another["id"])
    await send_all(phones)
    assert len(gateway.taken) == 3
    clock.advance(299)
    await two.comment(post["id"])
    await send_all(phones)
    assert len(gateway.taken) == 3
    clock.advance(2)
    await two.comment(post["id"])
    await send_all(phones)
    assert len(gateway.taken) == 4


@pytest.mark.parametrize("gone", ["comment", "post", "reaction"])
async def test_what_is_deleted_meanwhile_is_not_told_and_frees_its_turn(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice], gateway: FakeGateway, gone: str
) -> None:
    trainer, trainee = await groups.group(1)
    await equipped(trainer)
    post = await trainer.write()
    path = f"/api/community/feed/{post['id']}/"
    if gone == "reaction":
        await trainee.react(post["id"])
        await trainee.react(post["id"])
    else:
        comment = await trainee.comment(post["id"])
        await trainer.delete(f"{path}comments/{comment['id']}/" if gone == "comment" else path)
    await send_all(phones)
    assert gateway.taken == []
    assert counted(deps, "push_notices") == {"accepted": 1, "gone": 1}
    if gone == "comment":
        await trainee.comment(post["id"])
        await send_all(phones)
        assert len(gateway.taken) == 1


async def test_whoever_left_the_group_hears_nothing_more_of_it(
    groups: Groups, phones: Phones[PendingNotice], gateway: FakeGateway
) -> None:
    trainer, author, other = await groups.group(2)
    await equipped(author, other)
    post = await author.write()
    await trainer.comment(post["id"])
    await trainer.post("/api/trainer/announcements/", {"title": "Holidays", "body": "Long."})
    for person in (author, other):
        await trainer.delete(f"/api/trainer/trainees/{person.id}/")
    await send_all(phones)
    assert gateway.taken == []


@pytest.mark.parametrize("leaves", ["recipient", "actor"])
async def test_s44_notices_of_a_deleted_account_are_erased(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice], gateway: FakeGateway, leaves: str
) -> None:
    trainer, trainee = await groups.group(1)
    await equipped(trainer, trainee)
    post = await trainer.write()
    await trainee.comment(post["id"])
    assert await left(deps.store)
    person = trainer if leaves == "recipient" else trainee
    await person.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    assert not await left(deps.store)
    await send_all(phones)
    assert gateway.taken == []


async def test_s42_phone_that_changed_hands_gets_nothing_of_its_first_owner(
    groups: Groups, phones: Phones[PendingNotice], gateway: FakeGateway
) -> None:
    trainer, trainee = await groups.group(1)
    (token,) = await equipped(trainer)
    post = await trainer.write()
    await trainee.comment(post["id"])
    await with_device(trainee, token)
    await send_all(phones)
    assert gateway.taken == []


async def test_nothing_is_logged_where_nobody_has_a_device(
    groups: Groups, deps: Deps, phones: Phones[PendingNotice], caplog: pytest.LogCaptureFixture
) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainer.write()
    await trainee.comment(post["id"])
    await send_all(phones)
    assert [record for record in caplog.records if record.name.startswith("push")] == []
    assert not await left(deps.store)


async def test_without_credentials_one_warning_and_nothing_kept(
    groups: Groups, deps: Deps, gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.credentials = False
    trainer, trainee = await groups.group(1)
    await equipped(trainer)
    post = await trainer.write()
    for _ in range(2):
        await trainee.comment(post["id"])
        await trainee.react(post["id"])
    assert not await left(deps.store)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("push")]
    assert said == ["No push notifications: FIREBASE_CREDENTIALS_PATH names no file"]


async def test_comment_that_is_sent_again_with_its_key_is_told_once(
    groups: Groups, phones: Phones[PendingNotice], gateway: FakeGateway, clock: FakeClock
) -> None:
    trainer, trainee = await groups.group(1)
    await equipped(trainer)
    post = await trainer.write()
    for _ in range(2):
        answer = await trainee.post(
            f"/api/community/feed/{post['id']}/comments/",
            {"content": "Once."},
            headers={"Idempotency-Key": "once"},
        )
        assert answer.status == 201
        await send_all(phones)
        clock.advance(301)
    assert len(gateway.taken) == 1
