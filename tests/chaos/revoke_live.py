"""People lose their right to listen: taken out, deleted, password changed, token over; their sockets must close.

Everywhere within a second, within three while Redis is down, and with no event that was written after that.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from community.passwords import Hashing
from store.store import Store
from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Load, comment_anywhere
from tests.chaos.phones import Crowd, Phone, Room
from tests.support.http_connection import HttpConnection
from tests.support.population import CLOCK, TOKENS, Group, Member

LIMIT_SECONDS = 20.0
# What is asked for, with Redis and without.
CLOSED_SECONDS, CLOSED_WITHOUT_REDIS_SECONDS = 1.0, 3.0
TOKEN_SECONDS = 3
PASSWORD = "steep hills at dawn"
BAD_TOKEN, NO_GROUP = 4001, 4003


@dataclass
class Revocation:
    """One person's: which way, when it was acknowledged, and what their sockets then went through."""

    way: str
    at: float
    phones: list[Phone]
    room: Room
    code: int

    @property
    def seconds(self) -> float:
        """Until the last of their sockets was closed."""
        return max((phone.ended_at or float("inf")) - self.at for phone in self.phones)

    def wrong_codes(self) -> list[str]:
        return [f"{self.way}: {each.close_code}" for each in self.phones if each.close_code != self.code]

    def later(self, sent: Mapping[int, float], after_seconds: float) -> list[str]:
        """The events that a socket of theirs got although they were written so long after the revocation."""
        return [
            f"{self.way}: event {brought}, sent {sent[brought] - self.at:.2f} s after"
            for brought, _ in self.room.arrivals
            if brought in sent and sent[brought] > self.at + after_seconds
        ]


@dataclass
class Scene:
    """Who can be taken out, and how each thing is done to them."""

    cluster: Cluster
    crowd: Crowd
    group: Group
    people: list[Member] = field(default_factory=list)

    async def take_out(self, member: Member, instance: Instance) -> float:
        path = f"/api/trainer/trainees/{member.user_id}/"
        return await self.ask(instance, "DELETE", path, self.group.trainer, None)

    async def delete_account(self, member: Member, instance: Instance) -> float:
        body = {"current_password": PASSWORD}
        return await self.ask(instance, "DELETE", "/api/auth/users/me/", member, body)

    async def change_password(self, member: Member, instance: Instance) -> float:
        """By another of their log-ins, which goes on."""
        other = await log_in(self.cluster.store, member)
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD}, {secrets.token_hex(4)}"}
        return await self.ask(instance, "POST", "/api/auth/users/set_password/", other, body)

    async def let_token_expire(self, member: Member, instance: Instance) -> float:
        """Nothing is to be done; gives the moment at which the token of `listen` is over."""
        del member, instance
        await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    async def ask(self, instance: Instance, method: str, path: str, by: Member, body: object) -> float:
        """Send a request that must be obeyed; gives the moment of its acknowledgement."""
        connection = HttpConnection(instance.address)
        try:
            answer = await connection.send(method, path, body, headers=by.headers())
        finally:
            connection.close()
        assert answer.status < 300, (path, answer.status, answer.body)
        return asyncio.get_running_loop().time()

    async def revoke(self, way: "Way", number: int) -> Revocation:
        """Somebody listens on every instance, and loses the right to."""
        member = self.people.pop()
        expires = way.act is Scene.let_token_expire
        token = member.token(timedelta(seconds=TOKEN_SECONDS)) if expires else member.token()
        room = Room(self.group)
        phones = [Phone(member, room, self.crowd) for _ in self.cluster.instances]
        for phone, instance in zip(phones, self.cluster.instances, strict=True):
            assert await phone.open(instance, token)
            await asyncio.wait_for(phone.joined.wait(), LIMIT_SECONDS)
        instance = self.cluster.instances[number % len(self.cluster.instances)]
        at = await way.act(self, member, instance)
        if expires:
            at += TOKENS.read(token).expires_at - time.time()
        for phone in phones:
            try:
                await asyncio.wait_for(asyncio.shield(phone.ended()), LIMIT_SECONDS)
            except TimeoutError:
                phone.drop()
                await phone.ended()
                phone.ended_at = None
        return Revocation(way.name, at, phones, room, way.code)

    async def comes_back(self, revocation: Revocation) -> list[str]:
        """Whether one of them is let in again with the old token, anywhere."""
        found = []
        for old, instance in zip(revocation.phones, self.cluster.instances, strict=True):
            phone = Phone(old.member, revocation.room, self.crowd)
            assert await phone.open(instance)
            code, _ = await asyncio.wait_for(phone.ended(), LIMIT_SECONDS)
            if code not in {BAD_TOKEN, NO_GROUP}:
                found.append(f"{revocation.way}: {code}")
        return found


@dataclass(frozen=True)
class Way:
    name: str
    code: int
    act: Callable[[Scene, Member, Instance], Awaitable[float]]


WAYS = (
    Way("taken out of the group", NO_GROUP, Scene.take_out),
    Way("account deleted", BAD_TOKEN, Scene.delete_account),
    Way("password changed", BAD_TOKEN, Scene.change_password),
    Way("token expired", BAD_TOKEN, Scene.let_token_expire),
)


async def log_in(store: Store, member: Member) -> Member:
    """Another log-in of the same person."""
    now, session_id = CLOCK.now(), secrets.token_hex(16)
    await store.sessions.add(
        session_id=session_id,
        user_id=member.user_id,
        refresh_digest=session_id,
        at=now,
        expires_at=now + timedelta(days=1),
    )
    return Member(member.user_id, session_id, member.community_id)


async def run(options: Options, report: Report) -> None:
    hashing = Hashing(memory_kib=16)
    password_hash = await hashing.hash(PASSWORD)
    hashing.close()
    async with Cluster(options, redis=True) as cluster:
        wanted = 2 * len(WAYS) * options.n
        group = await cluster.group("revoked", trainees=wanted, password_hash=password_hash)
        talkers = Group(group.trainer, [], group.post_ids)
        load = Load(cluster.instances, comment_anywhere([talkers]), rate=20, seed=options.seed)
        async with load, Crowd(cluster.instances, options.seed) as crowd:
            scene = Scene(cluster, crowd, group, list(group.trainees))
            await measure(scene, load, options, report, when="with Redis", limit_seconds=CLOSED_SECONDS)
            assert cluster.redis is not None
            cluster.redis.kill()
            await measure(
                scene, load, options, report, when="without Redis", limit_seconds=CLOSED_WITHOUT_REDIS_SECONDS
            )
        report.none_of("doubled events", crowd.tally.doubled)
        report.none_of("REST errors", load.ledger.errors())
        report.none_of("errors in the servers' logs", cluster.errors())


async def measure(
    scene: Scene, load: Load, options: Options, report: Report, *, when: str, limit_seconds: float
) -> None:
    """`n` people each way, and what their sockets did."""
    options.say(f"{options.n} people each way, {when}")
    found: list[Revocation] = []
    let_in: list[str] = []
    for number in range(options.n):
        done = await asyncio.gather(*(scene.revoke(way, number) for way in WAYS))
        found += done
        for revocation in done[:-1]:
            # Whose token merely expired may come back with the next one.
            let_in += await scene.comes_back(revocation)
    for way in WAYS:
        slowest = max(each.seconds for each in found if each.way == way.name)
        report.add(f"{when}: {way.name}, closed after", slowest, "s", most=limit_seconds, timed=True)
    open_for_ever = [each.way for each in found if each.seconds == float("inf")]
    report.none_of(f"{when}: never closed", open_for_ever)
    report.none_of(f"{when}: wrong codes", [wrong for each in found for wrong in each.wrong_codes()])
    later = [late for each in found for late in each.later(load.ledger.sent, limit_seconds)]
    report.none_of(f"{when}: events written later than that", later, timed=True)
    report.none_of(f"{when}: let in again", let_in)


SCENARIOS = (
    Scenario(
        "revoke-live",
        "People are taken out, deleted, change passwords, or their tokens expire, while they listen everywhere.",
        run,
        counted="people each way",
        full=25,
        quick=2,
    ),
)
