"""Hostile pictures, one after the other and several at once: refused or made harmless, and nobody else notices.

What is done to them is in `tests.support.pictures`.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.loop_lag import lags, upper_bound
from tests.support.http_connection import HttpConnection, NoAnswer
from tests.support.pictures import FORM_HEADERS, HOSTILE, SECRET, File, encoded, form, hostile, picture
from tests.support.population import Member

FEED = "/api/community/feed/"
UPLOADERS = 4
LIMIT_MS, LIMIT_MIB = 50, 300
MIB = 1024 * 1024
SAMPLE_SECONDS = 0.02


@dataclass
class Findings:
    """What came of it. ``wrong`` are sentences about what should not have been."""

    statuses: Counter[int] = field(default_factory=Counter)
    by_kind: Counter[tuple[str, int]] = field(default_factory=Counter)
    private: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def upload(connection: HttpConnection, member: Member, file: File) -> tuple[int, dict[str, object]]:
    """Post a picture; give the status and what was answered."""
    headers = {**FORM_HEADERS, **member.headers()}
    answer = await connection.send("POST", FEED, form(file, content="Look!"), headers=headers)
    return answer.status, answer.json


def addresses(post: dict[str, object]) -> list[str]:
    """The paths of a post's picture and its smaller versions."""
    variants = post["image_variants"]
    assert isinstance(variants, list)
    urls = [str(post["image_url"]), *(str(each["url"]) for each in variants)]
    return [f"{urlsplit(url).path}?{urlsplit(url).query}".rstrip("?") for url in urls]


async def send_all(server: Instance, members: list[Member], options: Options) -> Findings:
    """Send every hostile picture of this seed, some at a time, and look at what is served of those that are taken."""
    findings = Findings()
    waiting = iter(range(options.n))

    async def work(member: Member) -> None:
        connection = HttpConnection(server.address)
        for number in waiting:
            name, file = await asyncio.to_thread(hostile, options.seed, number)
            try:
                status, said = await upload(connection, member, file)
            except NoAnswer as error:
                findings.wrong.append(f"{name} {number}: {error}")
                continue
            findings.statuses[status] += 1
            findings.by_kind[name, status] += 1
            if status not in {201, 400}:
                findings.wrong.append(f"{name} {number}: {status} {said}")
            for path in addresses(said) if status == 201 else []:
                served = await connection.send("GET", path)
                if served.status != 200:
                    findings.wrong.append(f"{name} {number}: {path} answers {served.status}")
                if SECRET in served.body:
                    findings.private.append(f"{name} {number}: {path}")
        connection.close()

    await asyncio.gather(*(work(member) for member in members))
    return findings


def memory_bytes(pid: int) -> int:
    """What a server and the processes that it started hold of the machine's memory."""
    found = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        for each in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += each.memory_info().rss
    return found


async def watch(pid: int, peak: list[int]) -> None:
    """Keep the most memory that was held at any time, until cancelled."""
    while True:
        peak[0] = max(peak[0], await asyncio.to_thread(memory_bytes, pid))
        await asyncio.sleep(SAMPLE_SECONDS)


async def run(options: Options, report: Report) -> None:
    async with Cluster(options, instances=1, pinned=True) as cluster:
        server = cluster.instances[0]
        group = await cluster.group("uploaders", trainees=UPLOADERS)
        harmless = File.of("JPEG", encoded(picture(600, 400)))
        connection = HttpConnection(server.address)
        # The first one starts the process that decodes.
        assert (await upload(connection, group.trainer, harmless))[0] == 201
        usual = memory_bytes(server.process.pid)
        before = lags(await server.metrics())
        peak = [usual]
        watching = asyncio.create_task(watch(server.process.pid, peak))
        life = server.process
        findings = await send_all(server, group.trainees, options)
        watching.cancel()
        found = {bound: count - before[bound] for bound, count in lags(await server.metrics()).items()}
        well = (await upload(connection, group.trainer, harmless))[0]
        connection.close()
        report.exactly("hostile pictures answered", findings.statuses.total(), options.n)
        report.add("taken, made harmless", findings.statuses[201], least=1)
        report.add("refused", findings.statuses[400], least=1)
        report.add("kinds of hostility", len({name for name, _ in findings.by_kind}), most=len(HOSTILE))
        report.none_of("other answers", findings.wrong)
        report.none_of("private bytes that went out", findings.private)
        kept = cluster.folder / "servers" / server.name / "media"
        at_rest = [path.name for path in kept.rglob("*") if path.is_file() and SECRET in path.read_bytes()]
        report.none_of("private bytes on disk", at_rest)
        report.exactly("crashes of the server", int(life.has_ended), 0)
        died = [line for line in life.log.splitlines() if "ended the process" in line]
        report.none_of("crashes of the process that decodes", died)
        report.add("more memory", (peak[0] - usual) / MIB, "MiB", most=LIMIT_MIB, timed=True)
        report.add("loop lag, p99.9", upper_bound(found, 99.9) * 1e3, "ms", most=LIMIT_MS, timed=True)
        report.exactly("a harmless picture afterwards", well, 201)
        report.none_of("errors in the server's log", cluster.errors())


SCENARIOS = (
    Scenario(
        "images",
        "Hostile pictures: bombs, truncated, polyglot, animated, misnamed, with a place in the metadata.",
        run,
        counted="pictures",
        full=500,
        quick=13,
    ),
)
