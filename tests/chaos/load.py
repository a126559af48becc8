"""Requests at a steady rate to all instances, and a ledger of what was acknowledged.
Who listens to what comes of them is in `phones`; which requests they are is the scenario's.
"""

import asyncio
import itertools
import random
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.chaos.cluster import Instance, choose
from tests.chaos.phones import Room
from tests.support.http_connection import HttpAnswer, HttpConnection, NoAnswer
from tests.support.population import PARAGRAPH, Group, Member

FEED = "/api/community/feed/"
TYPES = ("fire", "thumbs_up", "heart")
WRITERS = 32
# A token lasts 15 minutes; one that is made anew for each request would cost the server a signature each.
TOKEN_SECONDS = 300.0
# A load that falls behind for less catches up: else every hiccup of a busy machine makes it a smaller load.
MADE_UP_FOR_SECONDS = 1.0
# Between two tries of the same request while nobody serves.
RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Deed:
    """A request of a member. `done` gets its answer, unless nobody knows what became of it."""

    member: Member
    method: str
    path: str
    body: object = None
    creates: bool = False
    done: Callable[[HttpAnswer], None] = lambda _: None


Make = Callable[[random.Random], Deed]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer: of which instance, when it came (monotonic seconds), after how long, and its status."""

    instance: Instance
    at: float
    seconds: float
    status: int
    has_retry_after: bool


@dataclass
class Ledger:
    """What the load was told. The facts it created, by id: when they were sent, last, and acknowledged."""

    sent: dict[int, float] = field(default_factory=dict)
    acknowledged: dict[int, float] = field(default_factory=dict)
    by_room: dict[int, list[int]] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(exchange.status for exchange in self.exchanges)

    def errors(self) -> list[str]:
        """Every answer that was not good, and every request without one."""
        return [f"HTTP {each.status}" for each in self.exchanges if each.status >= 400] + self.unanswered

    def rate(self, since: float, until: float) -> float:
        """How many facts were acknowledged a second between two moments."""
        return sum(since <= at < until for at in self.acknowledged.values()) / (until - since)

    def seconds(self, since: float, until: float) -> list[float]:
        """How long the good answers between two moments took."""
        return [each.seconds for each in self.exchanges if since <= each.at < until and each.status < 400]


class Load:
    """``async with Load(...)``: begins on the way in; on the way out every request gets its answer, and no other begins.

    A request that was refused with 503 or not answered is sent again, with the same idempotency key, until it
    is: what the ledger says is then exactly what happened.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        makers: Sequence[Make],
        *,
        rate: float,
        seed: int,
        keep_alive: bool = True,
    ) -> None:
        """`makers` say what is sent, one for each connection to every instance, one request after the other.

        `rate` is all their requests a second, second tries among them; what could not be sent in time is made up for in a second, or left out.
        Without `keep_alive` each request has a connection of its own.
        """
        self.ledger = Ledger()
        self._instances = instances
        self._makers = makers
        self._rate = rate
        self._keep_alive = keep_alive
        self._random = random.Random(seed)
        self._due = 0.0
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []
        self._tokens: dict[Member, tuple[str, float]] = {}

    async def __aenter__(self) -> Self:
        self._due = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._work(make)) for make in self._makers]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)

    async def _work(self, make: Make) -> None:
        """One connection to each instance, and one request at a time."""
        connections = {instance: HttpConnection(instance.address) for instance in self._instances}
        try:
            while not self._over:
                await self._turn()
                if not self._over:
                    await self._insist(make(self._random), connections)
        finally:
            for connection in connections.values():
                connection.close()

    async def _turn(self) -> None:
        """Wait for the next moment at which a request is due."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due + 1 / self._rate, now - MADE_UP_FOR_SECONDS)
        await asyncio.sleep(self._due - now)

    async def _insist(self, deed: Deed, connections: dict[Instance, HttpConnection]) -> None:
        """Send it until it is answered with anything but 503."""
        headers = {"Authorization": f"Bearer {self._token(deed.member)}"}
        if deed.creates:
            headers["Idempotency-Key"] = secrets.token_hex(8)
        while True:
            instance = choose(self._instances, self._random)
            if instance is not None:
                answer = await self._try(deed, headers, instance, connections[instance])
                if answer is not None and answer.status != 503:
                    deed.done(answer)
                    return
                if answer is None and not deed.creates and deed.method != "GET":
                    return  # Without a key it might happen twice.
                if answer is not None:
                    await self._turn()
            await asyncio.sleep(RETRY_SECONDS)

    async def _try(
        self, deed: Deed, headers: dict[str, str], instance: Instance, connection: HttpConnection
    ) -> HttpAnswer | None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer = await connection.send(deed.method, deed.path, deed.body, headers=headers)
        except NoAnswer as error:
            self.ledger.unanswered.append(str(error))
            return None
        if not self._keep_alive:
            connection.close()
        now = clock()
        has_retry_after = "retry-after" in answer.headers
        exchange = Exchange(instance, now, now - began, answer.status, has_retry_after)
        self.ledger.exchanges.append(exchange)
        if deed.creates and answer.status == 201:
            created = answer.json["id"]
            self.ledger.sent[created] = began
            self.ledger.acknowledged[created] = now
            self.ledger.by_room.setdefault(deed.member.community_id, []).append(created)
        return answer

    def _token(self, member: Member) -> str:
        token, until = self._tokens.get(member, ("", 0.0))
        now = asyncio.get_running_loop().time()
        if now >= until:
            token = member.token()
            self._tokens[member] = (token, now + TOKEN_SECONDS)
        return token


def comment_anywhere(groups: Sequence[Group]) -> list[Make]:
    """Members of all groups comment on posts of theirs, in words that come only once."""
    numbers = itertools.count(1)

    def make(chance: random.Random) -> Deed:
        group = chance.choice(groups)
        path = f"{FEED}{chance.choice(group.post_ids)}/comments/"
        body = {"content": f"{next(numbers)}: {PARAGRAPH}"}
        return Deed(chance.choice(group.members), "POST", path, body, creates=True)

    return [make] * WRITERS


def mixed(groups: Sequence[Group], *, reads: float) -> list[Make]:
    """A day in the life of a group: that share of requests reads the feed; half of the others react, half comment."""
    comment = comment_anywhere(groups)[0]

    def make(chance: random.Random) -> Deed:
        what = chance.random()
        group = chance.choice(groups)
        member = chance.choice(group.members)
        if what < reads:
            return Deed(member, "GET", FEED)
        if what < (1 + reads) / 2:
            path = f"{FEED}{chance.choice(group.post_ids)}/react/"
            return Deed(member, "POST", path, {"reaction_type": chance.choice(TYPES)})
        return comment(chance)

    return [make] * WRITERS


def lateness(rooms: Sequence[Room], moments: Mapping[int, float], since: float, until: float) -> list[float]:
    """How long after its moment each fact reached each phone, for moments between two times.

    ``moments`` are those of the ledger: when facts were sent, or acknowledged (0 for what came before that).
    """
    return [
        max(0.0, at - moment)
        for room in rooms
        for brought, at in room.arrivals
        if (moment := moments.get(brought)) is not None and since <= moment < until
    ]


def unheard(rooms: Sequence[Room], ledger: Ledger, phones_of: dict[int, int]) -> list[str]:
    """The acknowledged facts that did not reach as many phones as their room has."""
    found = []
    for room in rooms:
        times = Counter(brought for brought, _ in room.arrivals)
        wanted = phones_of[room.group.community_id]
        found += [
            f"{fact} of room {room.group.community_id} reached {times[fact]} of {wanted}"
            for fact in ledger.by_room.get(room.group.community_id, [])
            if times[fact] != wanted
        ]
    return found
