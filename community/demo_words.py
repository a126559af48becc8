"""The words of the demo: people, what they say and what fits as an answer, read from ``demo_words.toml``.

Who says what when is decided in ``community.demo_plan``.
"""

import random
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COACH, AUTHOR = "coach: ", "author: "
_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE = re.compile(r"(?:^|[.!?] )[a-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """A post and the answers that fit it alone: by anybody, by the trainer, and the author's own last word."""

    text: str
    answers: tuple[str, ...] = ()
    coach: tuple[str, ...] = ()
    author: tuple[str, ...] = ()
    content_format: str = "plain"

    @property
    def slots(self) -> list[str]:
        return _SLOT.findall(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What posts of one kind share. ``hours`` are local; ``reactions`` weigh fire, thumbs_up and heart."""

    name: str
    settled: bool  # not for people who are new in the group
    share: int
    hours: tuple[float, float]
    warmth: float
    talk: float
    reactions: tuple[int, ...]
    posts: tuple[Saying, ...]
    comments: tuple[str, ...]
    coach: tuple[str, ...]
    thanks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A group's people, the most active first, and how much they write together."""

    trainer: str
    timezone: str
    posts: int
    trainees: tuple[str, ...]
    newcomers: Mapping[str, int]  # name -> days ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a trainer announces, always in markdown; ``hour`` is local."""

    trainer: str
    title: str
    body: str
    days_ago: int
    hour: float
    is_pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    casts: tuple[Cast, ...]
    topics: Mapping[str, Topic]
    plans: tuple[Saying, ...]  # the trainers', in their order
    essays: tuple[tuple[str, Saying], ...]  # topic -> longer posts of trainees
    notices: tuple[Notice, ...]
    slots: Mapping[str, list[str]]

    def filled(self, text: str, rng: random.Random) -> str:
        """Give a text with a value in each of its slots, with a capital where that starts a sentence."""
        found = _SLOT.sub(lambda slot: rng.choice(self.slots[slot[1]]), text)
        return _SENTENCE.sub(lambda start: start[0].upper(), found)


def address_of(name: str) -> str:
    """Give a person's e-mail address, which nobody can own (RFC 2606). First names are unique in the demo."""
    plain = unicodedata.normalize("NFKD", name.split(maxsplit=1)[0]).encode("ascii", "ignore").decode()
    return f"{plain.lower()}@example.com"


def load_words() -> Words:
    with (Path(__file__).parent / "demo_words.toml").open("rb") as file:
        raw = tomllib.load(file)
    return Words(
        casts=tuple(Cast(**{**each, "trainees": tuple(each["trainees"])}) for each in raw["group"]),
        topics={each["name"]: _topic(each) for each in raw["topic"]},
        plans=tuple(_markdown(each) for each in raw["plan"]),
        essays=tuple((each["topic"], _markdown(each)) for each in raw["essay"]),
        notices=tuple(Notice(**{**each, "body": each["body"].strip()}) for each in raw["announcement"]),
        slots=raw["slots"],
    )


def _topic(raw: Mapping[str, Any]) -> Topic:
    return Topic(
        name=raw["name"],
        settled=raw.get("settled", False),
        share=raw["share"],
        hours=(raw["hours"][0], raw["hours"][1]),
        warmth=raw["warmth"],
        talk=raw["talk"],
        reactions=tuple(raw["reactions"]),
        posts=tuple(_saying(text, answers) for text, *answers in raw["posts"]),
        comments=tuple(raw["comments"]),
        coach=tuple(raw["coach"]),
        thanks=tuple(raw.get("thanks", ())),
    )


def _saying(text: str, answers: list[str], content_format: str = "plain") -> Saying:
    return Saying(
        text=text,
        answers=tuple(each for each in answers if not each.startswith((COACH, AUTHOR))),
        coach=tuple(each.removeprefix(COACH) for each in answers if each.startswith(COACH)),
        author=tuple(each.removeprefix(AUTHOR) for each in answers if each.startswith(AUTHOR)),
        content_format=content_format,
    )


def _markdown(raw: Mapping[str, Any]) -> Saying:
    return _saying(raw["text"].strip(), raw["answers"], "markdown")
