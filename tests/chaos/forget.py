"""People delete their accounts while the server is killed at each write of it: afterwards nothing is left of them.

Each person's name, address and words hold a mark of their own, which is then looked for in every collection, in the files
of the media and in the servers' logs. What was posted to the group is meant to stay, and nothing else.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tests.chaos.cluster import SETTINGS, Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.support.crashing_server import AFTER, BEFORE, HEADER, PROGRAM, SENT
from tests.support.http_connection import Address, HttpAnswer, HttpConnection, NoAnswer
from tests.support.pictures import FORM_HEADERS, File, encoded, form, picture
from tests.support.processes import Processes
from tests.support.smtp_sink import smtp_sink

PASSWORD = "steep hills at dawn"
ME, FEED, USERS = "/api/auth/users/me/", "/api/community/feed/", "/api/auth/users/"
MOMENTS = (BEFORE, SENT, AFTER)
# A deletion makes some twenty writes, a trainer's a few more; a wish beyond the last is not fulfilled.
WRITES, SURE_WRITES = 25, 15
LIMIT_SECONDS = 60.0
# Where words are kept although their author is gone: "Deleted user" still said something.
KEPT = {"posts": "content", "comments": "content"}


@dataclass
class Person:
    """Somebody with a mark in all that is theirs."""

    address: Address
    role: str
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    user_id: int = 0
    token: str = ""

    @property
    def email(self) -> str:
        return f"{self.mark}@example.org"

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> HttpAnswer:
        """Raises ``NoAnswer``."""
        connection = HttpConnection(self.address)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            return await connection.send(method, path, body, headers=headers)
        finally:
            connection.close()

    async def do(self, method: str, path: str, body: object = None, **headers: str) -> HttpAnswer:
        """Send what must be obeyed."""
        answer = await self.send(method, path, body, **headers)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer

    async def register(self, invite_code: str | None = None) -> None:
        body = {
            "email": self.email,
            "password": PASSWORD,
            "first_name": self.mark,
            "last_name": f"Of {self.mark}",
            "role": self.role,
            "invite_code": invite_code,
        }
        made = await self.do("POST", USERS, body, **{"Idempotency-Key": secrets.token_hex(8)})
        self.user_id = made.json["id"]
        wrong = {"email": self.email, "password": "a wrong guess"}
        assert (await self.send("POST", "/api/auth/jwt/create/", wrong)).status == 401
        right = {"email": self.email, "password": PASSWORD}
        self.token = (await self.do("POST", "/api/auth/jwt/create/", right)).json["access"]


async def leave_traces(person: Person, witness: Person) -> None:
    """Do all that leaves something of oneself, and have somebody else do so, too."""
    key = {"Idempotency-Key": secrets.token_hex(8)}
    image = File.of("JPEG", encoded(picture(), "JPEG"))
    post = await person.do("POST", FEED, form(image, content=f"post {person.mark}"), **FORM_HEADERS, **key)
    await person.do("POST", "/api/users/profiles/image/", form(image), **FORM_HEADERS)
    post_path = f"{FEED}{post.json['id']}/"
    await person.do("POST", f"{post_path}comments/", {"content": f"comment {person.mark}"})
    device = {"token": f"device-{person.mark}", "platform": "ios"}
    await person.do("POST", "/api/users/device-tokens/", device)
    change = {"new_email": f"new.{person.email}", "current_password": PASSWORD}
    await person.do("POST", f"{USERS}set_email/", change)
    await person.do("POST", f"{USERS}reset_password/", {"email": person.email})
    await person.do("GET", "/api/users/me/export/")
    if person.role == "TRAINER":
        news = {"title": f"news {person.mark}", "body": f"more {person.mark}"}
        await person.do("POST", "/api/trainer/announcements/", news)
        return
    log = {"workout_data": {"what": person.mark}, "weight_kg": 70.5}
    await person.do("PUT", f"/api/workouts/daily-logs/{date(2026, 1, 31)}/", log)
    await witness.do("POST", f"{post_path}react/", {"reaction_type": "fire"})
    await witness.do("POST", f"{post_path}comments/", {"content": "Well done!"})
    for theirs in (await witness.do("GET", FEED)).json["results"]:
        if theirs["author"]["id"] == witness.user_id:
            await person.do("POST", f"{FEED}{theirs['id']}/react/", {"reaction_type": "heart"})


@dataclass
class Scene:
    """The server that dies, and the people in its database."""

    cluster: Cluster
    media: Path
    options: Options
    deaths: int = 0
    # How many documents and files there were: what is looked for must be found before it is gone.
    before: tuple[int, int] = (0, 0)
    refused: list[str] = field(default_factory=list)

    async def people(self, address: Address, count: int) -> list[Person]:
        witness = Person(address, "TRAINER", mark="witness")
        await witness.register()
        await witness.do("POST", FEED, {"content": "Welcome, everybody."})
        invite = (await witness.do("POST", "/api/trainer/invites/", {})).json["code"]
        found = [Person(address, "TRAINER" if number % 2 else "TRAINEE") for number in range(count)]
        for person in found:
            await person.register(invite if person.role == "TRAINEE" else None)
            await leave_traces(person, witness)
        return found

    async def delete(self, person: Person, wish: str) -> None:
        """Have a deletion die at a write, and ask again as long as the account is there."""
        deadline = time.monotonic() + LIMIT_SECONDS
        headers = {HEADER: wish}
        while time.monotonic() < deadline:
            try:
                answer = await person.send("DELETE", ME, {"current_password": PASSWORD}, **headers)
            except NoAnswer:
                self.deaths += 1
                headers = {}
                continue
            # 401: it was deleted, and only the answer was lost. 503: what the dead held is not free yet.
            if answer.status in {204, 401}:
                return
            if answer.status != 503:
                break
            headers = {}
        self.refused.append(f"{person.role} {wish}")

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        """Whether it came to pass in time."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not await condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def nothing_in(self, table: str, where: dict[str, object]) -> bool:
        return await self.cluster.store.database.table(table).get(where) is None

    async def found_in_database(self, people: list[Person]) -> list[str]:
        """Where a mark is, and should not be."""
        raw, found = self.cluster.store.database.raw, []
        for name in await raw.list_collection_names():
            async for document in raw[name].find({}):
                if name in KEPT:
                    document.pop(KEPT[name], None)
                text = repr(document)
                found += [f"{name}: {document['_id']}" for person in people if person.mark in text]
        return found

    def files(self) -> list[str]:
        """Files of people that there are, whatever is in them: nobody but these has any."""
        folders = ("profile_images", "exports")
        return [str(path) for folder in folders for path in (self.media / folder).iterdir()]


async def run(options: Options, report: Report) -> None:
    async with smtp_sink() as sink, Cluster(options, instances=0) as cluster:
        client = cluster.store.database.raw.client
        # What the dead leave open is ended after this time; 5 s in production.
        await client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=1)
        processes = Processes(cluster.folder / "mortal")
        settings = {
            **SETTINGS,
            "LOG_LEVEL": "INFO",
            "MONGODB_URI": cluster.mongo.uri,
            "SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
            "MAIL_FROM": "cohort@example.org",
        }
        try:
            server = processes.start(program=PROGRAM, **settings)
            await server.listening()
            address = ("127.0.0.1", int(server.base_url.rpartition(":")[2]))
            scene = Scene(cluster, processes.data_dir() / "media", options)
            people = await deletions(scene, address)
            documents, files = scene.before
            # Account, links, answers, device, log or announcement; one's own picture, and an export.
            report.add("documents with traces before", documents, least=6 * options.n)
            report.add("files before", files, least=2 * options.n)
            report.exactly("people deleted", len(people) - len(scene.refused), options.n)
            report.add("deaths", scene.deaths, least=1)
            report.none_of("could not be deleted", scene.refused)
            over = await scene.until(lambda: scene.nothing_in("erasures", {}))
            report.none_of("erasures that nobody finished", [] if over else ["there are some"])
            report.none_of("traces in the database", await scene.found_in_database(people))
            report.none_of("files that are left", scene.files())
            logs = [each for each in server.log.splitlines() if any(one.mark in each for one in people)]
            report.none_of("traces in the server's log", logs)
            report.add("lines of the server's log", len(server.log.splitlines()), least=options.n)
            report.none_of("errors in the server's log", server.errors())
        finally:
            await asyncio.to_thread(processes.clean_up)


async def deletions(scene: Scene, address: Address) -> list[Person]:
    options = scene.options
    people = await scene.people(address, options.n)
    # Exports are files, too: all of them are there, or fail here.
    assert await scene.until(lambda: scene.nothing_in("exports", {"state": {"$ne": "ready"}}))
    scene.before = len(await scene.found_in_database(people)), len(scene.files())
    wishes = [
        f"{moment} {number}"
        for number in range(1, int(options.pick(WRITES, SURE_WRITES)) + 1)
        for moment in MOMENTS
    ]
    options.random.shuffle(wishes)
    for number, person in enumerate(people):
        wish = wishes[number % len(wishes)]
        options.say(f"a {person.role.lower()} is deleted; kill -9 {wish}")
        await scene.delete(person, wish)
    return people


SCENARIOS = (
    Scenario(
        name="forget",
        says="Accounts are deleted, kill -9 before, in and after each write of it: nothing of them is left anywhere.",
        run=run,
        counted="people deleted",
        full=len(MOMENTS) * WRITES,
        quick=2,
    ),
)
