"""The wording of push notifications: the contract's titles, bodies cut between characters, data of strings only."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push import notices
from push.notices import Notice, cut

E_ACUTE = "e\u0301"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
THUMB = "\U0001f44d\U0001f3fd"
AUSTRIA = "\U0001f1e6\U0001f1f9"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
KEYCAP = "1\ufe0f\u20e3"
HAN = "\u1112\u1161\u11ab"
NI = "\u0928\u093f"
CHARACTERS = [E_ACUTE, FAMILY, THUMB, AUSTRIA, SCOTLAND, KEYCAP, HAN, NI, "\r\n", "x", "\u00fc", "\u0436"]


def test_announcement_names_its_trainer_and_shows_a_hundred_characters() -> None:
    notice = notices.announced(trainer_id=7, trainer_name="Ana Ferreira", title="a" * 101)
    assert notice.title == "New Announcement from Ana Ferreira"
    assert notice.body == "a" * 100
    assert notice.data == {"type": "announcement", "trainer_id": "7"}
    assert (notice.replaces, notice.debounce) == (None, None)


def test_achievement_is_told_by_its_name() -> None:
    notice = notices.earned(achievement_id=11, name="Ten workouts")
    assert (notice.title, notice.body) == ("Achievement Unlocked!", "Ten workouts")
    assert notice.data == {"type": "achievement", "achievement_id": "11"}


def test_reaction_shows_fifty_characters_of_the_post_and_replaces_others() -> None:
    notice = notices.reacted(post_id=5, author_id=3, name="Ana Ferreira", content="b" * 51)
    assert notice.title == "Ana Ferreira reacted to your post"
    assert notice.body == "b" * 50
    assert notice.data == {"type": "post_reaction", "post_id": "5"}
    assert notice.replaces == "reactions-5"


def test_comment_shows_fifty_characters_of_itself_and_replaces_none() -> None:
    notice = notices.commented(post_id=5, author_id=3, name="Ana Ferreira", content="c" * 50)
    assert notice.title == "Ana Ferreira commented on your post"
    assert notice.body == "c" * 50
    assert notice.data == {"type": "comment", "post_id": "5"}
    assert notice.replaces is None


def test_reactions_and_comments_are_debounced_by_themselves() -> None:
    about = {"post_id": 5, "author_id": 3, "content": ""}
    keys = {
        notices.reacted(**about, name="Ana").debounce,
        notices.reacted(**about, name="Ben").debounce,
        notices.commented(**about, name="Ana").debounce,
        notices.commented(**{**about, "post_id": 6}, name="Ana").debounce,
    }
    assert len(keys) == 3


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda each: each.encode("unicode_escape").decode())
def test_body_is_never_cut_inside_a_character(character: str) -> None:
    for most in range(len(character), 4 * len(character)):
        assert cut(character * 5, most) == character * (most // len(character))


@given(st.lists(st.sampled_from(CHARACTERS), min_size=1, max_size=40), st.integers(8, 60))
def test_cut_text_is_the_longest_beginning_of_whole_characters(characters: list[str], most: int) -> None:
    text, expected = "".join(characters), ""
    for character in characters:
        if len(expected + character) > most:
            break
        expected += character
    assert cut(text, most) == expected


@given(st.text(max_size=80), st.integers(1, 60))
def test_cut_text_is_a_beginning_no_longer_than_allowed(text: str, most: int) -> None:
    found = cut(text, most)
    assert text.startswith(found)
    assert len(found) <= most
    assert bool(found) == bool(text)


def test_pile_of_accents_is_cut_hard() -> None:
    pile = "e" + "\u0301" * 200
    assert unicodedata.category("\u0301") == "Mn"
    assert cut(pile, 50) == pile[:50]


def test_notice_of_a_newer_server_is_understood() -> None:
    kept = {"title": "A", "body": "B", "data": {"type": "comment"}, "sound": "bell"}
    assert Notice.of(kept) == Notice(title="A", body="B", data={"type": "comment"})
