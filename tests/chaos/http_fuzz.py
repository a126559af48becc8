"""Requests from the published document, right ones and spoiled ones, by people of all roles and by strangers.
Every answer has to be one that the document knows, and no failure; the server has to stay as large as it was.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.canary import CALLS_A_TOKEN
from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.schemathesis_runs import judge_by_schemathesis
from tests.chaos.tenants import Caller, World
from tests.support.client import CONTRACT
from tests.support.http_connection import HttpAnswer, HttpConnection, NoAnswer
from tests.support.openapi_requests import Asked, Requests
from tests.support.population import CLOCK, TOKENS
from tests.support.request_mutations import spoiled

GROUPS, TRAINEES = 2, 3
ASKING = 8
# As many are spoiled as are right: what right ones make is what spoiled ones are about.
SPOILED = 0.6
# Of all requests, after which caches, pools and the image worker have their usual size.
WARM_UP = 0.2
# Without a key for Stripe, and without answers of its own: refused in the contract's words.
NOT_CONFIGURED = 503
EXPECTED_FAILURES = frozenset({"payments_not_configured"})


@dataclass
class Findings:
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    off_contract: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    warm_bytes: int = 0


class Fuzz:
    """Sends requests as all of these people; each has a seed of its own, so that one can be made again."""

    def __init__(self, server: Instance, callers: Sequence[Caller], options: Options) -> None:
        self.findings = Findings()
        self._server = server
        self._callers = callers
        self._options = options
        self._chance = random.Random(options.seed)
        self._requests = Requests(CONTRACT.document, self._chance)
        self._tokens: dict[Caller, str] = {}

    async def run(self) -> Findings:
        await asyncio.gather(*(self._ask() for _ in range(ASKING)))
        return self.findings

    async def _ask(self) -> None:
        connection = HttpConnection(self._server.address)
        warm_at = int(self._options.n * WARM_UP)
        before = "nothing"
        while self.findings.requests < self._options.n:
            self.findings.requests += 1
            if self.findings.requests == warm_at:
                self.findings.warm_bytes = self._server.memory_bytes
            if self.findings.requests % 5_000 == 0:
                self._options.say(f"{self.findings.requests:,} requests")
            before = await self._call(connection, before)
        connection.close()

    async def _call(self, connection: HttpConnection, before: str) -> str:
        """Give what was asked, and how it was answered: a connection that ends may do so for what came before."""
        caller = self._chance.choice(self._callers)
        asked = self._requests.make(
            self._chance.choice(self._requests.operations), lambda: caller.text(self._chance)
        )
        is_right = self._chance.random() > SPOILED
        if not is_right:
            asked = spoiled(asked, self._chance)
        headers = {"Authorization": f"Bearer {self._token(caller)}"} if caller.role else {}
        headers.update(asked.headers)
        try:
            answer = await connection.send(
                asked.method, asked.target, asked.body if asked.body is not None else b"", headers=headers
            )
        except NoAnswer as error:
            self._found(self.findings.unanswered, f"{error} {_told(asked)}, after {before}")
            return "nothing"
        self._judge(asked, answer)
        if (
            answer.status < 300
            and answer.headers.get("content-type") == "application/json"
            and asked.method != "HEAD"
        ):
            self._requests.known.learn(asked, answer.json)
        return f"{answer.status} to {_told(asked)}"

    def _judge(self, asked: Asked, answer: HttpAnswer) -> None:
        self.findings.statuses[answer.status] += 1
        if answer.status >= 500 and not self._is_expected(answer):
            self._found(self.findings.failures, f"{answer.status} {answer.body[:200]!r} to {_told(asked)}")
        try:
            CONTRACT.check(asked.method, asked.target, answer.status, answer.headers, answer.body)
        except AssertionError as error:
            self._found(self.findings.off_contract, f"{error} to {_told(asked)}")

    def _found(self, among: list[str], what: str) -> None:
        among.append(what)
        self._options.say(what)

    def _is_expected(self, answer: HttpAnswer) -> bool:
        return answer.status == NOT_CONFIGURED and answer.json.get("code") in EXPECTED_FAILURES

    def _token(self, caller: Caller) -> str:
        if self.findings.requests % CALLS_A_TOKEN == 0 or caller not in self._tokens:
            self._tokens[caller] = caller.token()
        return self._tokens[caller]


def _told(asked: Asked) -> str:
    return f"{asked.method} {asked.target[:200]} {dict(asked.headers)} {(asked.body or b'')[:300]!r}"


async def run(options: Options, report: Report) -> None:
    async with Cluster(options, instances=1) as cluster:
        server = cluster.instances[0]
        callers = await World(cluster.store, TOKENS, CLOCK).everybody(GROUPS, TRAINEES)
        findings = await Fuzz(server, callers, options).run()
        growth = server.memory_bytes / (findings.warm_bytes or server.memory_bytes)
        statuses = findings.statuses
        report.add("requests", findings.requests, least=options.n)
        for begin in (200, 400):
            found = sum(count for status, count in statuses.items() if begin <= status < begin + 100)
            report.add(f"answered with {begin // 100}xx", found, least=1)
        report.none_of("failures (5xx)", findings.failures)
        report.none_of("answers that the document does not know", findings.off_contract)
        report.none_of("without an answer", findings.unanswered)
        report.add("memory, at the end : warm", growth, "x", most=1.1, timed=True)
        if not options.quick:
            await judge_by_schemathesis(server, callers, cluster.folder, options, report)
        report.none_of("errors in the server's log", cluster.errors())


SCENARIOS = (
    Scenario(
        "http-fuzz",
        "Right and spoiled requests of the published document, by all roles.",
        run,
        counted="requests",
        full=200_000,
        quick=400,
    ),
)
