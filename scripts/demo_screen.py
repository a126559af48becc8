"""What ``scripts.demo`` prints: what members do, and every frame that arrives, with who saw it and how fast.

It only watches and keeps count; what happens is written in ``scripts.demo``.
"""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from scripts.demo_member import Json, Member

WIDTH = 100
STYLES = ("bold cyan", "bold magenta", "bold yellow")
# Everybody has a frame some milliseconds after the first one has; who has not by then, has lost it.
PATIENCE_SECONDS = 2.0
SHOWN_REACTIONS = {"fire": "🔥", "thumbs_up": "👍", "heart": "💛"}
# Cells of a line beside what a frame is about: the time, its type, and three members with their milliseconds.
BESIDE = 13 + 20 + 33

Key = tuple[str, ...]


def key_of(frame: Json) -> Key:
    """What makes a frame the same for everybody: a fact's number, a level's post and version."""
    if "seq" in frame:
        return ("fact", str(frame["seq"]))
    if frame["type"] == "reaction_update":
        return ("level", str(frame["post_id"]), str(frame["version"]))
    return (frame["type"], frame.get("position", ""), frame["timestamp"])


def subject_of(frame: Json) -> Key:
    """What a request can say beforehand about the frame that it will cause."""
    kind = str(frame["type"])
    if kind in {"new_post", "new_comment"}:
        written = frame["post"] if kind == "new_post" else frame["comment"]
        return (kind, str(written["author"]["id"]), str(written["content"]))
    return (kind, str(frame.get("post_id", "")))


@dataclass(slots=True)
class Sighting:
    """A frame on its way to its line: who has it, and when they got it."""

    frame: Json
    expected: list[Member]
    asked_at: float | None
    seen: dict[str, float] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class Screen:
    def __init__(self, console: Console, members: Callable[[], Sequence[Member]]) -> None:
        self._console = console
        self._members = members
        self._waiting: dict[Key, Sighting] = {}
        self._asked: dict[Key, float] = {}
        self._quiet = asyncio.Event()  # no frame is on its way to somebody
        self._quiet.set()
        self._known: dict[Key, float] = {}  # when it first arrived
        self._heard: dict[str, dict[Key, None]] = {}  # in the order of arrival
        self.delays: list[float] = []
        self.frames = 0
        self.lost = 0

    # What is told

    def title(self, text: str) -> None:
        self._console.print(Rule(Text(text, "bold"), style="dim", align="left", characters="─"))

    def note(self, text: str, style: str = "dim") -> None:
        self._console.print(Text(text, style), no_wrap=True, overflow="ellipsis")

    def does(self, member: Member, what: str, detail: str = "") -> None:
        line = self._clock()
        line.append(f"{member.name} ", self._style(member))
        line.append(what)
        if detail:
            line.append(f"  {detail}", "italic")
        self._print(line)

    def expect(self, at: float, *subject: object) -> None:
        """Remember when something was asked for, so that the delay of its frame can be told."""
        self._asked[tuple(str(each) for each in subject)] = at

    # What is heard

    def hear(self, member: Member, frame: Json, at: float) -> None:
        """Take a frame that arrived, and print its line as soon as everybody who is online has it."""
        self.frames += 1
        key = key_of(frame)
        heard = self._heard.setdefault(member.name, {})
        if key in heard:
            # A level may come again on return, and its version says so; a fact may not.
            self.lost += key[0] == "fact"
            return
        heard[key] = None
        if key[0] not in {"fact", "level"}:
            self._single(member, frame)
        elif key in self._known:
            self._recovered(member, frame, at - self._known[key])
        else:
            self._sight(member, key, frame, at)

    def heard(self, member: Member, keys: Sequence[Key]) -> list[Key]:
        """Give those of ``keys`` that a member has heard, in the order in which they came."""
        return [key for key in self._heard.get(member.name, ()) if key in keys]

    async def settled(self) -> None:
        """Wait until no frame is on its way to somebody."""
        await self._quiet.wait()

    def facts(self) -> list[Key]:
        """Give the facts that have had their line, in order."""
        return [key for key in self._known if key[0] == "fact"]

    def levels(self) -> int:
        """How many different frames told reactions so far."""
        return len(self._known) - len(self.facts())

    def _sight(self, member: Member, key: Key, frame: Json, at: float) -> None:
        sighting = self._waiting.get(key)
        if sighting is None:
            online = [each for each in self._members() if each.is_online]
            asked_at = self._asked.get(subject_of(frame))
            if asked_at is not None and at - asked_at > PATIENCE_SECONDS:
                asked_at = None  # somebody else did the same, later
            sighting = Sighting(frame, online, asked_at)
            loop = asyncio.get_running_loop()
            sighting.timer = loop.call_later(PATIENCE_SECONDS, self._settle, key)
            self._waiting[key] = sighting
            self._quiet.clear()
        sighting.seen[member.name] = at
        if len(sighting.seen) >= len(sighting.expected):
            self._settle(key)

    def _settle(self, key: Key) -> None:
        sighting = self._waiting.pop(key)
        if sighting.timer is not None:
            sighting.timer.cancel()
        if not self._waiting:
            self._quiet.set()
        self._known[key] = min(sighting.seen.values())
        line = self._frame_line("green", sighting.frame)
        for member in self._members():
            if member in sighting.expected:
                self._seen_by(line, member, sighting)
            else:
                line.append(f" {member.name:>4} away", "dim")
        if sighting.asked_at is not None:
            line.append(" ms", "dim")
        self._print(line)

    def _seen_by(self, line: Text, member: Member, sighting: Sighting) -> None:
        line.append(f" {member.name:>4}", self._style(member))
        at = sighting.seen.get(member.name)
        if at is None:
            self.lost += 1
            line.append(" lost", "bold red")
        elif sighting.asked_at is None:
            line.append("    ✓")  # somebody else's doing
        else:
            self.delays.append(at - sighting.asked_at)
            line.append(f" {(at - sighting.asked_at) * 1000:4.0f}")

    def _single(self, member: Member, frame: Json) -> None:
        line = self._frame_line("blue", frame)
        line.append(f" {member.name}", self._style(member))
        self._print(line)

    def _recovered(self, member: Member, frame: Json, late_seconds: float) -> None:
        line = self._frame_line("bright_yellow", frame, arrow="↺")
        line.append(f" {member.name}", self._style(member))
        line.append(f" recovered, {late_seconds:.1f} s later", "bright_yellow")
        self._print(line)

    # How it looks

    def _frame_line(self, style: str, frame: Json, arrow: str = "◂") -> Text:
        line = self._clock()
        line.append(f"  {arrow} {frame['type']:<16}", style)
        about = Text(_about(frame), "dim" if style == "blue" else "")
        about.truncate(max(8, self._console.width - BESIDE), overflow="ellipsis", pad=True)
        return line.append_text(about)

    def _clock(self) -> Text:
        return Text().append(f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-3] + " ", "dim")

    def _print(self, line: Text) -> None:
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def _style(self, member: Member) -> str:
        return STYLES[list(self._members()).index(member) % len(STYLES)]

    def summary(self) -> None:
        seconds = [each for member in self._members() for each in member.request_seconds]
        rows = [f"{len(seconds)} requests, answered in {_spread(seconds)}", f"{self.frames} frames received"]
        if self.delays:
            rows.append(f"from request to receipt {_spread(self.delays)}")
        for row in rows:
            self._console.print(Text(f"  {row}"))


def _spread(seconds: Sequence[float]) -> str:
    middle, most = statistics.median(seconds) * 1000, max(seconds) * 1000
    return f"{middle:.0f} ms (median), {most:.0f} ms at most"


def _about(frame: Json) -> str:
    """What a frame says, in a few characters."""
    number = f"#{frame['seq']} " if "seq" in frame else ""
    kind = frame["type"]
    if kind == "new_post":
        return f"{number}“{frame['post']['content']}”"
    if kind == "new_comment":
        return f"{number}“{frame['comment']['content']}”"
    if kind == "reaction_update":
        return "  ".join(f"{SHOWN_REACTIONS[name]} {count}" for name, count in frame["reactions"].items())
    if kind == "connected":
        recovered = {True: "recovered", False: "not recovered", None: "live"}[frame["recovered"]]
        return f"at {frame['position']}, {recovered}"
    if kind == "heartbeat":
        return f"at {frame['position']}"
    return f"{number}{'post' if 'comment_id' not in frame else 'comment'} {frame.get('post_id', '')}"
