"""Uploads that break off at any byte, and a server that is killed meanwhile: no picture is lost, no file left over.

What is taken of a picture, and what is refused, is in `tests.chaos.images`.
"""

import asyncio
import contextlib
import json
import random
import sys
from dataclasses import dataclass, field

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.images import FEED, addresses
from tests.support.http_connection import HttpConnection, NoAnswer, request_bytes
from tests.support.pictures import FORM_HEADERS, File, encoded, form, picture
from tests.support.population import Member
from tests.support.processes import ROOT, until

PROFILE = "/api/users/profiles/image/"
UPLOADERS = 4
# How long a server lives at most before it is killed; a start takes 1 s.
LIFE_SECONDS = 2.0
CUT, DELETED, OF_PERSON = 0.4, 0.3, 0.2
COMMAND = (sys.executable, "-m", "scripts.media_sweep", "--now", "--json")


@dataclass
class Findings:
    """How many were answered or broken off, and what came of it: the paths of pictures that must be there, and of those that must not."""

    sent: int = 0
    cut: int = 0
    unanswered: int = 0
    kept: list[list[str]] = field(default_factory=list)
    deleted: list[list[str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Uploader:
    """One person who uploads, breaks off, deletes, and changes the own picture."""

    def __init__(self, server: Instance, member: Member, findings: Findings, chance: random.Random) -> None:
        self._server = server
        self._member = member
        self._findings = findings
        self._random = chance
        self._connection = HttpConnection(server.address)

    async def upload(self) -> None:
        """Send one picture, in one of these ways."""
        kind = self._random.choice(("JPEG", "PNG", "WEBP"))
        made = picture(self._random.randint(300, 900), 200, seed=self._random.randrange(1000))
        raw = form(File.of(kind, encoded(made, kind)))
        path = PROFILE if self._random.random() < OF_PERSON else FEED
        headers = {**FORM_HEADERS, **self._member.headers()}
        try:
            if self._random.random() < CUT:
                await self._break_off(request_bytes("POST", path, headers, raw))
                self._findings.sent += 1
                return
            answer = await self._connection.send("POST", path, raw, headers=headers)
            self._findings.sent += 1
            if answer.status not in {200, 201, 503}:
                self._findings.wrong.append(f"{path}: {answer.status} {answer.body[:200]!r}")
            if answer.status == 201:
                await self._look(answer.json)
        except (NoAnswer, OSError):
            # Nobody knows what happened; the server may have been killed at any moment of it.
            self._findings.unanswered += 1
            await until(lambda: self._server.is_serving, what="a start")

    async def _look(self, post: dict[str, object]) -> None:
        paths = addresses(post)
        if self._random.random() >= DELETED:
            self._findings.kept.append(paths)
            return
        answer = await self._connection.send("DELETE", f"{FEED}{post['id']}/", headers=self._member.headers())
        if answer.status == 204:
            self._findings.deleted.append(paths)

    async def _break_off(self, request: bytes) -> None:
        self._findings.cut += 1
        _, writer = await asyncio.open_connection(*self._server.address)
        with contextlib.suppress(OSError):
            writer.write(request[: self._random.randrange(len(request))])
            await writer.drain()
        if self._random.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()

    def close(self) -> None:
        self._connection.close()


async def kill_now_and_then(server: Instance, chance: random.Random, done: asyncio.Event) -> int:
    """Kill the server again and again until everything was sent; gives how often."""
    kills = 0
    while not done.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), chance.uniform(0.1, LIFE_SECONDS))
        server.is_serving = False
        await server.kill()
        kills += 1
        await server.start()
    return kills


async def sweep(cluster: Cluster, server: Instance) -> dict[str, list[object]]:
    """What `scripts.media_sweep` says."""
    folder = cluster.folder / "servers" / server.name
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--data-dir",
        str(folder),
        cwd=ROOT,
        env={"MONGODB_URI": cluster.mongo.uri, "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    found: dict[str, list[object]] = json.loads(out)
    return found


async def statuses(server: Instance, paths: list[list[str]]) -> list[int]:
    """What is answered for each of these paths."""
    connection = HttpConnection(server.address)
    found = [(await connection.send("GET", path)).status for some in paths for path in some]
    connection.close()
    return found


async def run(options: Options, report: Report) -> None:
    findings = Findings()
    async with Cluster(options, instances=1) as cluster:
        server = cluster.instances[0]
        group = await cluster.group("uploaders", trainees=UPLOADERS)
        done = asyncio.Event()
        killing = asyncio.create_task(kill_now_and_then(server, random.Random(options.seed), done))

        async def work(member: Member, number: int) -> None:
            uploader = Uploader(server, member, findings, random.Random(f"{options.seed} {number}"))
            while findings.sent < options.n:
                await uploader.upload()
            uploader.close()

        await asyncio.gather(*(work(member, number) for number, member in enumerate(group.trainees)))
        done.set()
        kills = await killing
        first, second = await sweep(cluster, server), await sweep(cluster, server)
        report.add("uploads", findings.sent, least=options.n)
        report.add("broken off", findings.cut, least=1)
        report.add("kills", kills, least=1)
        report.add("without an answer", findings.unanswered)
        report.add("pictures acknowledged", len(findings.kept) + len(findings.deleted), least=1)
        report.none_of("other answers", findings.wrong)
        report.add("orphans that were swept up", len(first["orphans"]))
        report.none_of("orphans after the sweep", [str(each) for each in second["orphans"]])
        report.none_of("posts and people that point at nothing", [str(each) for each in second["missing"]])
        lost = [status for status in await statuses(server, findings.kept) if status != 200]
        report.exactly("acknowledged files that are not served", len(lost), 0)
        served = [status for status in await statuses(server, findings.deleted) if status != 404]
        report.exactly("deleted files that are", len(served), 0)
        report.none_of("errors in the server's log", cluster.errors())


SCENARIOS = (
    Scenario(
        "uploads",
        "Uploads break off at any byte while the server is killed again and again.",
        run,
        counted="uploads",
        full=600,
        quick=16,
    ),
)
