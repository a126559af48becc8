"""The wording of every push notification, and what opens when somebody touches it.

Pure: nothing is sent or looked up here. Who is told of what is decided by the operations in ``community``.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# The contract's lengths, in code points as other servers count them.
ANNOUNCEMENT_CHARACTERS, EXCERPT_CHARACTERS = 100, 50

# Joins two characters to one, as in a family.
JOINER = "\u200d"
# One after another they are the letters of a flag.
REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]")
# Skin tones, and the hidden letters of the flags of England, Scotland and Wales: they belong to what is before.
MODIFIERS = re.compile("[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
# Korean vowels and final consonants that are written as parts of a syllable.
JAMO = re.compile("[\u1160-\u11ff\ud7b0-\ud7fb]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a phone shows, and what its app opens by ``data``, whose values are all strings."""

    title: str
    body: str
    data: Mapping[str, str]
    # Where it replaces an older one on the phone: those with the same words here replace one another.
    replaces: str | None = None
    # What is told only once in five minutes: those with the same words here are the same thing.
    debounce: str | None = None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Notice":
        """Give a notice as it was kept; what another version of the server knows of it beyond that is left out."""
        return cls(**{field.name: kept[field.name] for field in fields(cls) if field.name in kept})


def announced(*, trainer_id: int, trainer_name: str, title: str) -> Notice:
    """Tell a trainee of their trainer's new announcement."""
    return Notice(
        title=f"New Announcement from {trainer_name}",
        body=cut(title, ANNOUNCEMENT_CHARACTERS),
        data={"type": "announcement", "trainer_id": str(trainer_id)},
    )


def earned(*, achievement_id: int, name: str) -> Notice:
    """Tell somebody of an achievement of theirs."""
    return Notice(
        title="Achievement Unlocked!",
        body=name,
        data={"type": "achievement", "achievement_id": str(achievement_id)},
    )


def reacted(*, post_id: int, author_id: int, name: str, content: str) -> Notice:
    """Tell a post's author who reacted to it; ``content`` is the post's.

    Several about one post replace one another on a phone, which need not show them all.
    """
    return Notice(
        title=f"{name} reacted to your post",
        body=cut(content, EXCERPT_CHARACTERS),
        data={"type": "post_reaction", "post_id": str(post_id)},
        replaces=f"reactions-{post_id}",
        debounce=f"reactions:{post_id}:{author_id}",
    )


def commented(*, post_id: int, author_id: int, name: str, content: str) -> Notice:
    """Tell a post's author who commented on it; ``content`` is the comment's."""
    return Notice(
        title=f"{name} commented on your post",
        body=cut(content, EXCERPT_CHARACTERS),
        data={"type": "comment", "post_id": str(post_id)},
        debounce=f"comments:{post_id}:{author_id}",
    )


def cut(text: str, most: int) -> str:
    """Give the first ``most`` code points, or some fewer where the last of them would be half a character.

    A single character longer than all of that (a pile of accents) is cut hard.
    """
    if len(text) <= most:
        return text
    end = most
    while end and _belongs_together(text, end):
        end -= 1
    return text[: end or most]


def _belongs_together(text: str, at: int) -> bool:
    """Whether a reader sees what is before and after ``at`` as one character (after UAX #29, extended clusters)."""
    before, after = text[at - 1], text[at]
    if JOINER in (after, before) or MODIFIERS.match(after) or JAMO.match(after):
        return True
    if unicodedata.category(after) in {"Mn", "Mc", "Me"} or (before, after) == ("\r", "\n"):
        return True
    if REGIONAL.match(before) and REGIONAL.match(after):
        # Flags are pairs: between two of them it may be cut.
        first = at - 1
        while first and REGIONAL.match(text[first - 1]):
            first -= 1
        return (at - first) % 2 == 1
    return False
