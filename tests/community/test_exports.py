"""Exports of one's own data: asked for, made by whoever comes first, told of by mail, fetched, and over."""

import asyncio
import io
import json
import secrets
import zipfile
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from community import exports, media_sweep
from community.erasure import finish_erasures
from config.deps import Deps
from push.mail import MailRefused
from push.outbox import Outbox
from store.errors import Gone
from store.exports import CLAIM_FOR, FAILED, READY
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.mail import Mailbox
from tests.support.pictures import FORM_HEADERS, File, encoded, form, picture

EXPORT, DOWNLOAD = "/api/users/me/export/", "/api/users/export/download/"
SUBJECT = "Your data"


async def work(deps: Deps) -> None:
    """Do all that is to be done, of this test and of others before."""
    while await exports.work_once(deps):
        pass


async def state_of(deps: Deps, person: Person) -> dict[str, Any]:
    found = await deps.store.database.raw["exports"].find_one({"_id": person.id})
    assert found is not None
    return dict(found)


async def link_of(mailbox: Mailbox, person: Person) -> str:
    uid, token = mailbox.link(await mailbox.letter_to(person.email, subject=SUBJECT))
    return f"{DOWNLOAD}?uid={uid}&token={token}"


def opened(body: bytes) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """The zip, and what its JSON files hold."""
    archive = zipfile.ZipFile(io.BytesIO(body))
    assert archive.testzip() is None
    names = [name for name in archive.namelist() if name.endswith(".json")]
    return archive, {name.removesuffix(".json"): json.loads(archive.read(name)) for name in names}


async def test_export_holds_what_is_ones_own_and_nothing_of_others(
    groups: Groups, deps: Deps, mailbox: Mailbox
) -> None:
    trainer, person = await groups.group(1)
    words = secrets.token_hex(8)
    image = File.of("JPEG", encoded(picture(), "JPEG"))
    for path, texts in (("/api/community/feed/", {"content": f"post {words}"}),
                        ("/api/users/profiles/image/", {})):  # fmt: skip
        sent = await groups.api.post(path, raw=form(image, **texts), headers=FORM_HEADERS, token=person.token)
        assert sent.status in {200, 201}, sent.body
    theirs = await trainer.write("The trainer's own words.")
    post = (await person.feed())[1]
    await person.comment(theirs["id"], f"comment {words}")
    await trainer.comment(post["id"], "The trainer's answer.")
    await person.react(theirs["id"])
    await person.log(date(2026, 1, 31), workout_data={"what": f"log {words}"}, weight_kg=70.5)
    asked = await person.get(EXPORT)
    assert (asked.status, asked.json["status"], asked.json["expires_at"]) == (202, "pending", None)
    await work(deps)
    assert (await person.get(EXPORT)).json["status"] == "ready"
    answer = await groups.api.get(await link_of(mailbox, person))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    assert answer.headers["Cache-Control"] == "no-store"
    archive, found = opened(answer.body)
    (account,) = found["account"]
    assert (account["email"], account["role"]) == (person.email, "TRAINEE")
    # The others are entries about the workout and what it earned.
    (own,) = [each for each in found["posts"] if each["post_type"] == "text"]
    assert (own["content"], own["comment_count"]) == (f"post {words}", 1)
    assert [each["content"] for each in found["comments"]] == [f"comment {words}"]
    assert [each["post_id"] for each in found["reactions"]] == [theirs["id"]]
    (log,) = found["daily_logs"]
    assert log["workout_data"] == {"what": f"log {words}"}
    assert {each["action"] for each in found["audit_trail"]} >= {"account.registered", "session.started"}
    pictures = [name for name in archive.namelist() if name.endswith(".jpg")]
    assert own["image"] in pictures
    assert len(pictures) == 2
    assert archive.read(own["image"]) == (await groups.api.get(post["image_url"])).body
    everything = b"".join(archive.read(name) for name in archive.namelist())
    for others in (b"The trainer's", trainer.email.encode(), b"password_hash", b"refresh_digest"):
        assert others not in everything


async def test_export_is_sent_in_parts_when_asked_for(groups: Groups, deps: Deps, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    await person.get(EXPORT)
    await work(deps)
    link = await link_of(mailbox, person)
    whole = (await groups.api.get(link)).body
    part = await groups.api.get(link, headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, whole[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    beyond = await groups.api.get(link, headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status == 416


async def test_one_export_is_made_when_many_ask_at_once(groups: Groups, deps: Deps, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    answers = await asyncio.gather(*(person.get(EXPORT) for _ in range(6)))
    assert {each.status for each in answers} == {202}
    await asyncio.gather(work(deps), work(deps))
    assert (await person.get(EXPORT)).status == 200
    await work(deps)
    letters = [each for each in mailbox.letters if each.to == person.email and SUBJECT in each.subject]
    assert len(letters) == 1
    noted = await deps.store.database.raw["audit"].count_documents(
        {"user_id": person.id, "action": "export.asked"}
    )
    assert noted == 1


async def test_export_is_over_after_three_days(
    groups: Groups, deps: Deps, mailbox: Mailbox, clock: FakeClock
) -> None:
    person = await groups.trainee()
    await person.get(EXPORT)
    await work(deps)
    link = await link_of(mailbox, person)
    name = (await state_of(deps, person))["name"]
    for wrong in (link[:-1], link.replace(f"uid={person.id}", "uid=1"), link.replace("uid=", "uid=x")):
        assert (await groups.api.get(wrong)).status == 404
    clock.advance(timedelta(days=3).total_seconds())
    assert (await groups.api.get(link)).status == 404
    again = await groups.log_in(person.email)
    assert (await again.get(EXPORT)).status == 202
    # The old file belongs to nobody any more.
    assert name in (await media_sweep.sweep(deps, left_alone=timedelta(0))).orphans
    assert await deps.media.size(name) is None


@pytest.mark.parametrize("dies_at", ["before it is made", "when the file is there", "when it is mailed"])
async def test_accepted_export_is_made_when_who_made_it_died(
    groups: Groups, deps: Deps, mailbox: Mailbox, clock: FakeClock, dies_at: str
) -> None:
    person = await groups.trainee()
    await work(deps)
    await person.get(EXPORT)
    await _die(deps, mailbox, dies_at)
    # Its claim holds for a minute, in which nobody else begins.
    assert not await exports.work_once(deps)
    clock.advance(CLAIM_FOR.total_seconds())
    await work(deps)
    assert (await state_of(deps, person))["state"] == READY
    # Whatever link has arrived opens it.
    letters = [each for each in mailbox.letters if each.to == person.email and SUBJECT in each.subject]
    assert len(letters) == (2 if dies_at == "when it is mailed" else 1)
    for letter in letters:
        uid, token = mailbox.link(letter)
        answer = await groups.api.get(f"{DOWNLOAD}?uid={uid}&token={token}")
        assert opened(answer.body)[1]["account"][0]["email"] == person.email


async def _die(deps: Deps, mailbox: Mailbox, when: str) -> None:
    """Go as far as that and no further."""
    export = await deps.store.exports.claim()
    assert export is not None
    if when == "before it is made":
        return
    export = await exports._make(deps, export)
    if when == "when it is mailed":

        class Dying(Mailbox):
            async def send(self, letter: Any) -> None:
                await mailbox.send(letter)
                telling.cancel()

        outbox = Outbox(Dying())
        await outbox.start()
        telling = asyncio.create_task(exports._tell(replace(deps, push=outbox), export))
        await asyncio.gather(telling, return_exceptions=True)
        assert telling.cancelled()
        await outbox.drain(5)


async def test_export_is_given_up_when_its_letter_cannot_be_sent(
    groups: Groups, deps: Deps, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(Mailbox):
        async def send(self, letter: Any) -> None:
            del letter
            raise MailRefused("no such mailbox")

    person = await groups.trainee()
    await person.get(EXPORT)
    outbox = Outbox(Refusing())
    await outbox.start()
    for _ in range(6):
        await work(replace(deps, push=outbox))
        clock.advance(300)
    await outbox.drain(5)
    assert "given up" in caplog.text
    assert (await state_of(deps, person))["state"] == FAILED
    again = await groups.log_in(person.email)
    answer = await again.get(EXPORT)
    assert (answer.status, answer.json["status"]) == (200, "failed")
    clock.advance(3600)
    again = await groups.log_in(person.email)
    assert (await again.get(EXPORT)).status == 202


@pytest.mark.parametrize("made", [False, True])
async def test_s44_export_goes_with_its_account(
    groups: Groups, deps: Deps, mailbox: Mailbox, made: bool
) -> None:
    person = await groups.trainee()
    await work(deps)
    await person.get(EXPORT)
    link = ""
    if made:
        await work(deps)
        link = await link_of(mailbox, person)
        name = (await state_of(deps, person))["name"]
        await person.delete("/api/auth/users/me/", {"current_password": PASSWORD})
        assert (await groups.api.get(link)).status == 404
    else:
        # Whoever makes it finds out.
        export = await deps.store.exports.claim()
        assert export is not None
        name = export.name
        await person.delete("/api/auth/users/me/", {"current_password": PASSWORD})
        with pytest.raises(Gone):
            await exports._make(deps, export)
    await finish_erasures(deps)
    assert person.id not in await deps.store.erasures.pending()
    if made:
        assert await deps.media.size(name) is None
