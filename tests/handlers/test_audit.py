"""The audit trail: what leaves a line, who reads it, and how long it is kept."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import pytest

from community.accounts import create_admin
from config.deps import Deps
from store.audit import KEPT_FOR
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.mail import Mailbox

AUDIT = "/api/admin/audit/"
NEW_PASSWORD = "new hills at dusk"


async def admin(groups: Groups, deps: Deps) -> Person:
    email = f"{secrets.token_hex(6)}@example.org"
    user = await create_admin(
        deps, email=email, password=PASSWORD, first_name="A", last_name="B", origin="terminal of tests"
    )
    return await groups.log_in(email, user_id=user.id, role="ADMIN")


async def lines(reader: Person, **asked: object) -> list[dict[str, Any]]:
    """The lines that fit, oldest first."""
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    answer = await reader.get(f"{AUDIT}?page_size=50&{query}")
    assert answer.status == 200, answer.body
    return list(reversed(answer.json["results"]))


async def test_s37_what_becomes_of_an_account_is_noted(groups: Groups, deps: Deps, mailbox: Mailbox) -> None:
    reader = await admin(groups, deps)
    trainer, person = await groups.group(1)
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await person.post("/api/auth/users/set_password/", {**change, "current_password": "not this one"})
    await person.post("/api/auth/users/set_password/", change)
    await person.post("/api/auth/logout/", {"refresh": person.refresh})
    await groups.api.post("/api/auth/users/reset_password/", {"email": person.email})
    uid, token = mailbox.link(await mailbox.letter_to(person.email, subject="Reset"))
    body = {"uid": uid, "token": token, "new_password": PASSWORD}
    await groups.api.post("/api/auth/users/reset_password_confirm/", body)
    again = await groups.log_in(person.email)
    await trainer.delete(f"/api/trainer/trainees/{person.id}/")
    await again.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    found = await lines(reader, about=f"user:{person.id}")
    assert [(each["what"], each["actor"]) for each in found] == [
        ("account.registered", person.id),
        ("session.started", person.id),
        ("refused.password", person.id),
        ("password.changed", person.id),
        ("session.ended", person.id),
        ("password.reset", None),
        ("session.started", person.id),
        ("member.removed", trainer.id),
        ("account.deleted", person.id),
    ]
    assert {each["origin"] for each in found} == {"127.0.0.1"}
    assert found[0]["details"] == {"role": "TRAINEE", "trainer_id": trainer.id}
    assert person.email not in str(found)
    # Where admins come from is kept for good; what people did is not.
    (made,) = await lines(reader, about=f"user:{reader.id}", what="admin.created")
    assert made["origin"] == "terminal of tests"
    assert "admin" not in KEPT_FOR
    kept = await deps.store.database.raw["audit"].find({"subject": f"user:{person.id}"}).to_list()
    assert {each["expires_at"] - each["at"] for each in kept} == {
        timedelta(days=30), timedelta(days=90), timedelta(days=365)
    }  # fmt: skip


async def test_s37_reuse_of_a_refresh_token_is_noted(groups: Groups, deps: Deps, clock: FakeClock) -> None:
    reader = await admin(groups, deps)
    person = await groups.trainee()
    await groups.api.post("/api/auth/jwt/refresh/", {"refresh": person.refresh})
    clock.advance(11)
    for _ in range(2):
        answer = await groups.api.post("/api/auth/jwt/refresh/", {"refresh": person.refresh})
        assert answer.status == 401
    reused = await lines(reader, about=f"user:{person.id}", what="session.reused")
    assert len(reused) == 1


async def test_s37_flood_of_refused_log_ins_is_a_few_lines(
    groups: Groups, deps: Deps, clock: FakeClock
) -> None:
    reader = await admin(groups, deps)
    person = await groups.trainee()
    before = deps.store.ids.new()

    async def guess(email: str) -> None:
        answer = await groups.api.post("/api/auth/jwt/create/", {"email": email, "password": "a wrong guess"})
        assert answer.status == 401

    await asyncio.gather(*(guess(person.email.upper()) for _ in range(10)))
    assert len(await lines(reader, about=f"user:{person.id}", what="refused.log_in")) == 1
    clock.advance(60)
    await guess(person.email)
    assert len(await lines(reader, about=f"user:{person.id}", what="refused.log_in")) == 2
    # Addresses that nobody has share 64 lines a minute, and cannot be read out of them.
    for _ in range(3):
        await asyncio.gather(*(guess(f"{secrets.token_hex(6)}@example.org") for _ in range(40)))
    raw = deps.store.database.raw["audit"]
    unknown = await raw.find({"subject": {"$regex": "^email:"}, "_id": {"$gt": before}}).to_list()
    assert 32 <= len(unknown) <= 64
    assert "example.org" not in str(unknown)


async def test_s37_trail_is_read_in_pages_by_admins(groups: Groups, deps: Deps, clock: FakeClock) -> None:
    reader = await admin(groups, deps)
    person = await groups.trainee()
    for _ in range(4):
        clock.advance(61)
        await groups.log_in(person.email)
    first = (await reader.get(f"{AUDIT}?actor={person.id}&what=session.started&page_size=2")).json
    assert f"actor={person.id}" in first["next"]
    second = (await reader.get(first["next"])).json
    third = (await reader.get(second["next"])).json
    ids = [each["id"] for page in (first, second, third) for each in page["results"]]
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)
    assert third["next"] is None
    assert (await reader.get(third["previous"])).json["results"] == second["results"]
    until = second["results"][0]["at"]
    earlier = await lines(reader, actor=person.id, what="session.started", before=until)
    assert [each["id"] for each in reversed(earlier)] == ids[3:]
    assert (await person.get(AUDIT)).status == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("actor=ann", "actor"),
        ("actor=%D9%A3", "actor"),
        ("what=%24ne", "what"),
        ("before=yesterday", "before"),
        ("before=2026-11-21T09:17:03", "before"),
        ("about=" + "x" * 101, "about"),
    ],
)
async def test_s13_trail_refuses_what_is_no_filter(
    groups: Groups, deps: Deps, query: str, field: str
) -> None:
    reader = await admin(groups, deps)
    answer = await reader.get(f"{AUDIT}?{query}")
    assert (answer.status, list(answer.json)) == (400, [field])
