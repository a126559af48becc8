"""Members of several groups call every route at random, about their own things and everybody else's.
Nobody may be shown a word of another group, in an answer or in a frame, nor an address that is not for them.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from store.records import TRAINEE, TRAINER
from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.tenants import NOBODY, Caller, Secrets, World
from tests.support.client import CONTRACT
from tests.support.http_connection import HttpConnection
from tests.support.openapi_requests import Operation, Requests
from tests.support.population import CLOCK, TOKENS
from tests.support.sockets import Feed, open_feed

GROUPS, TRAINEES = 3, 3
# At a time: as many as a small server is asked by at once.
ASKING = 8
# A token lasts 15 minutes; made anew for each request it would cost a signature each.
CALLS_A_TOKEN = 200
REGISTRATION = "/api/auth/users/"
# These end somebody's log-in or membership; now and then is enough.
SELDOM = {("DELETE", "/api/trainer/trainees/{user_id}/"), ("POST", REGISTRATION)}


@dataclass
class Findings:
    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    answered_well: set[tuple[str, str]] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)
    frames: int = 0
    # Words of their own that people saw: without them the rest would say nothing.
    own: int = 0


class Canary:
    """Sends ``calls`` requests as all of these people, whose sockets are open meanwhile."""

    def __init__(self, base_url: str, callers: Sequence[Caller], seed: int) -> None:
        self.findings = Findings()
        self._base_url = base_url
        self._callers = callers
        self._secrets = Secrets(callers)
        self._chance = random.Random(seed)
        self._requests = Requests(CONTRACT.document, self._chance)
        self._tokens: dict[Caller, str] = {}

    async def run(self, calls: int) -> Findings:
        members = [each for each in self._callers if each.role in {TRAINER, TRAINEE}]
        async with AsyncExitStack() as stack:
            listening = []
            for member in members:
                feed = await stack.enter_async_context(open_feed(self._base_url, member.token()))
                listening.append(asyncio.create_task(self._listen(feed, member)))
            await asyncio.gather(*(self._ask(calls) for _ in range(ASKING)))
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
        return self.findings

    async def _listen(self, feed: Feed, member: Caller) -> None:
        async for frame in feed.socket:
            self.findings.frames += 1
            self._look(frame if isinstance(frame, bytes) else frame.encode(), member, "a frame")

    async def _ask(self, calls: int) -> None:
        parts = urlsplit(self._base_url)
        connection = HttpConnection((str(parts.hostname), int(parts.port or 80)))
        while self.findings.calls < calls:
            self.findings.calls += 1
            await self._call(connection)
        connection.close()

    async def _call(self, connection: HttpConnection) -> None:
        caller = self._chance.choice(self._callers)
        operation = self._operation(caller)
        # Whoever registers is a new person, who may join any group by its code and be seen there.
        words = NOBODY if operation.template == REGISTRATION else caller
        asked = self._requests.make(operation, lambda: words.text(self._chance))
        headers = dict(asked.headers)
        if caller.role:
            headers["Authorization"] = f"Bearer {self._token(caller)}"
        answer = await connection.send(
            asked.method, asked.target, asked.body if asked.body is not None else b"", headers=headers
        )
        self.findings.statuses[answer.status] += 1
        where = f"{asked.method} {asked.target}"
        self._look(answer.body, caller, where)
        self._look(json.dumps(dict(answer.headers)).encode(), caller, f"headers of {where}")
        if answer.status < 300:
            self.findings.answered_well.add((operation.method, operation.template))
            if answer.headers.get("content-type") == "application/json":
                self._requests.known.learn(asked, answer.json)
            if "etag" in answer.headers:
                self._requests.known.words["If-None-Match"].append(answer.headers["etag"])

    def _operation(self, caller: Caller) -> Operation:
        """Mostly one that this role may ask for."""
        while True:
            found = self._chance.choice(self._requests.operations)
            fits = not found.roles or caller.role in found.roles
            seldom = (found.method, found.template) in SELDOM
            if self._chance.random() < (0.1 if seldom else 1) * (1 if fits else 0.1):
                return found

    def _token(self, caller: Caller) -> str:
        if self.findings.calls % CALLS_A_TOKEN == 0 or caller not in self._tokens:
            self._tokens[caller] = caller.token()
        return self._tokens[caller]

    def _look(self, shown: bytes, caller: Caller, where: str) -> None:
        self.findings.own += caller.word.encode() in shown
        self.findings.leaks += [
            f"{where} shows {found} to a {caller.role or 'stranger'} of {caller.tenant}"
            for found in self._secrets.found(shown, caller)
        ]


async def run(options: Options, report: Report) -> None:
    async with Cluster(options, instances=1) as cluster:
        server = cluster.instances[0]
        callers = await World(cluster.store, TOKENS, CLOCK).everybody(GROUPS, TRAINEES)
        findings = await Canary(server.base_url, callers, options.seed).run(options.n)
        report.add("calls", findings.calls, least=options.n)
        report.add(
            "answered well", sum(n for status, n in findings.statuses.items() if status < 300), least=1
        )
        report.add("operations that were", len(findings.answered_well))
        report.add("frames", findings.frames, least=1)
        report.add("own words seen", findings.own, least=1)
        report.none_of("words that others were shown", findings.leaks)
        report.none_of("errors in the server's log", cluster.errors())


SCENARIOS = (
    Scenario(
        "canary",
        "Random calls about everybody's things: nobody is shown another group's words.",
        run,
        counted="calls",
        full=20_000,
        quick=200,
    ),
)
