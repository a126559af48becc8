"""``python -m scripts.demo``: two simulated members use the running server, and the feed is printed as it arrives.

The third to watch is their trainer. What members can do is in ``scripts.demo_member``, how it looks in
``scripts.demo_screen``; here is the play.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import click
from rich.console import Console
from tornado.httpclient import AsyncHTTPClient
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from community.demo import PASSWORD, accounts
from scripts.demo_member import Member, Refused
from scripts.demo_screen import WIDTH, Key, Screen
from scripts.session import CONTEXT, DONE, FAILED, fail

# Beats: those around the conversation, those of one round of it, and how long one may last. In the longest
# plays a member writes about 8 things a minute, which stays below the server's limit of 10.
BEATS_AROUND, BEATS_A_ROUND, LONGEST_BEAT_SECONDS, SHORTEST_BEAT_SECONDS = 8, 4, 2.0, 0.2
# How long a returning member waits for what they missed.
RECOVERY_SECONDS = 5.0
UNAUTHORIZED = 401
NO_SERVER = "Nothing answers at {url}. Start the server first: make run (or python server.py --demo)."
NO_DEMO = (
    "The server at {url} has no demo data. It is written into an empty database by make run, by"
    " python server.py --demo, or by python -m scripts.demo_data."
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Round:
    """A short conversation: a post, what the other taps and says, and what the author answers by a tap."""

    post: str
    tapped: str
    comment: str


ROUNDS = (
    Round(
        "6 km along the river, four dogs, one heron. Zero excuses.", "fire", "A heron! I only had a pigeon."
    ),
    Round("First real pull-up today. I'll be unbearable.", "heart", "One is infinitely more than zero!"),
    Round(
        "Lentil curry, five boxes. Future me says hi.", "thumbs_up", "Recipe, please. My freezer is ready."
    ),
    Round("Slept eight hours. Who am I?", "heart", "Teach me your ways."),
    Round("Intervals done. My legs have engaged a lawyer.", "fire", "Mine are settling out of court."),
    Round("Chose the stairs all week. Seventh floor!", "fire", "And now you're always first at the coffee."),
)


class Play:
    """Three members on one stage, and what they do in which order."""

    def __init__(self, url: str, seconds: float, console: Console) -> None:
        self._url = url
        self._http: AsyncHTTPClient = SimpleAsyncHTTPClient(force_instance=True)
        self.screen = Screen(console, lambda: self.everybody)
        self.everybody = [Member(url, self._http, self.screen.hear) for _ in range(3)]
        self._one, self._other, self._trainer = self.everybody
        self._beat_seconds = min(max(seconds / 16, SHORTEST_BEAT_SECONDS), LONGEST_BEAT_SECONDS)
        around = BEATS_AROUND * self._beat_seconds
        self._rounds = max(1, int((seconds - around) / (BEATS_A_ROUND * self._beat_seconds)))

    async def open(self) -> None:
        """Log everybody in and connect them. Raises ``OSError`` and ``Refused``."""
        trainer, trainees = next(iter(accounts().items()))
        for member, email in zip(self.everybody, (*trainees[:2], trainer), strict=True):
            await self._ask(partial(member.log_in, email, PASSWORD))
        one, other, watching = (member.name for member in self.everybody)
        self.screen.title(f"Cohort live: {one} and {other} write, {watching} watches  ·  {self._url}")
        for member in self.everybody:
            await member.connect()
            member.request_seconds.clear()
        await self._beat()

    async def close(self, *, keep: bool) -> None:
        """Take away what was written, unless it is to be kept, and leave. Raises ``OSError`` and ``Refused``."""
        try:
            for member in self.everybody:
                await member.finish()
                for post_id in [] if keep else list(member.written):
                    await self._ask(partial(member.delete_post, post_id), "post_deleted", post_id)
            await self.screen.settled()
        finally:
            for member in self.everybody:
                await member.leave()
            self._http.close()

    async def perform(self) -> bool:
        """Play it all; gives whether everything arrived everywhere."""
        last = 0
        for number in range(self._rounds):
            pair = (self._one, self._other) if number % 2 == 0 else (self._other, self._one)
            last = await self._converse(*pair, ROUNDS[number % len(ROUNDS)])
        await self._tap_together(last)
        before = len(self.screen.facts())
        await self._go_on_without(self._other, last)
        recovered = await self._come_back(self._other, self.screen.facts()[before:])
        await self._say(self._other, last, "Back from the tunnel, and I haven't missed a word.")
        await self._beat()
        await self.screen.settled()
        return recovered and not self.screen.lost

    async def _converse(self, author: Member, other: Member, lines: Round) -> int:
        post_id = await self._write(author, lines.post)
        await self._beat()
        await self._tap(other, post_id, lines.tapped)
        await self._beat()
        await self._say(other, post_id, lines.comment)
        await self._beat()
        await self._tap(author, post_id, "heart" if lines.tapped != "heart" else "thumbs_up")
        await self._beat()
        return post_id

    async def _tap_together(self, post_id: int) -> None:
        """Six taps in one moment: the counts are absolute, so that a few frames can stand for all of them."""
        one, other = self._one, self._other
        self.screen.does(one, f"and {other.name} tap three reactions each, all in the same moment")
        kinds = ("fire", "thumbs_up", "heart")
        taps = [(member, kind) for kind in kinds for member in (one, other)]
        before = self.screen.levels()
        self.screen.expect(time.perf_counter(), "reaction_update", post_id)
        await asyncio.gather(*(member.react(post_id, kind) for member, kind in taps))
        await self._beat()
        frames = self.screen.levels() - before
        self.screen.note(f"{len(taps)} taps, {frames} frames: counts are absolute, the latest stands for all")

    async def _go_on_without(self, absent: Member, post_id: int) -> None:
        self.screen.title(f"{absent.name} goes into a tunnel: the connection is cut without a goodbye")
        await absent.cut()
        await self._beat()
        await self._say(self._one, post_id, f"Where did {absent.name} go?")
        await self._beat()
        await self._write(self._one, "Quick, a secret while the signal is gone: I like rest days.")
        await self._tap(self._one, post_id, "fire")
        await self._say(self._one, post_id, "Nobody heard that, right?")
        await self._beat()
        await self.screen.settled()

    async def _come_back(self, member: Member, missed: Sequence[Key]) -> bool:
        self.screen.title(f"{member.name} comes back with since={member.position}")
        started = time.perf_counter()
        await member.connect()
        while not (whole := self.screen.heard(member, missed) == missed):
            if time.perf_counter() - started > RECOVERY_SECONDS:
                break
            await asyncio.sleep(0.005)
        milliseconds = (time.perf_counter() - started) * 1000
        await self._beat()
        if whole:
            self.screen.note(
                f"✔ all {len(missed)} facts that {member.name} missed are there, once and in order,"
                f" {milliseconds:.0f} ms after coming back",
                "bold green",
            )
        else:
            self.screen.note(f"✘ {member.name} did not get everything that was missed", "bold red")
        await self._beat()
        return whole

    # What members do, shown

    async def _write(self, member: Member, text: str) -> int:
        self.screen.does(member, "posts", f"“{text}”")
        return await self._ask(partial(member.post, text), "new_post", member.id, text)

    async def _say(self, member: Member, post_id: int, text: str) -> None:
        self.screen.does(member, "comments", f"“{text}”")
        await self._ask(partial(member.comment, post_id, text), "new_comment", member.id, text)

    async def _tap(self, member: Member, post_id: int, kind: str) -> None:
        self.screen.does(member, f"taps {kind}")
        await self._ask(partial(member.react, post_id, kind), "reaction_update", post_id)

    async def _ask(self, request: Callable[[], Awaitable[T]], *subject: object) -> T:
        """Ask the server; where a limit is reached, as by several plays in a minute, wait for it."""
        while True:
            self.screen.expect(time.perf_counter(), *subject)
            try:
                return await request()
            except Refused as refusal:
                if not refusal.retry_seconds:
                    raise
                self.screen.note(f"{refusal.detail} So we wait.")
                await asyncio.sleep(refusal.retry_seconds)

    async def _beat(self) -> None:
        await asyncio.sleep(self._beat_seconds)


async def play(url: str, seconds: float, console: Console, *, keep: bool) -> bool:
    """Play against the server at ``url`` for about that long; whatever happens, clean up and say what came of it.

    Gives whether every frame arrived. Raises ``OSError`` and ``Refused``.
    """
    stage = Play(url, seconds, console)
    try:
        await stage.open()
        whole = await stage.perform()
        stage.screen.title("the posts stay" if keep else "and now everything is taken away again")
    finally:
        await stage.close(keep=keep)
    stage.screen.summary()
    return whole


@click.command(context_settings=CONTEXT)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the server is.")
@click.option(
    "--seconds",
    type=click.FloatRange(5, 600),
    default=20,
    show_default=True,
    help="About how long to play.",
)
@click.option("--keep", is_flag=True, help="Leave in the feed what was posted.")
def main(*, url: str, seconds: float, keep: bool) -> None:
    """Watch the live feed of a running server that has demo data.

    Two members post, comment and react by REST. Each frame that arrives on the WebSockets is printed with who sees
    it and how many milliseconds after the request. Then one connection is cut, and what was missed is recovered.
    """
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH)
    try:
        whole = asyncio.run(play(url, seconds, console, keep=keep))
    except Refused as refusal:
        fail(NO_DEMO.format(url=url) if refusal.status == UNAUTHORIZED else f"The server refused: {refusal}")
    except OSError:
        fail(NO_SERVER.format(url=url))
    sys.exit(DONE if whole else FAILED)


if __name__ == "__main__":
    main()
