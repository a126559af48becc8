"""The words of every letter, in both forms.

Who gets one is tested with the operations.
"""

import re
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from push import letters

LINK = "https://cohort.example/password/reset/confirm?uid=42&token=abc-DEF_123"


def reset(first_name="Ann"):
    return letters.password_reset(to="ann@example.org", first_name=first_name, link=LINK, valid_minutes=60)


def invite(trainer_name="Tom Weir", expires_at=None):
    return letters.invitation(
        to="new@example.org", trainer_name=trainer_name, code="K7QM-2WXP", expires_at=expires_at
    )


def every_letter(name="Ann"):
    return [reset(name), letters.password_changed(to="ann@example.org", first_name=name), invite(name)]


class Page(HTMLParser):
    """Collects the words and the tags of a page."""

    def __init__(self, html) -> None:
        super().__init__()
        self.tags, self.words, self._quiet = [], "", 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._quiet += tag in {"style", "title"}

    def handle_endtag(self, tag):
        self._quiet -= tag in {"style", "title"}

    def handle_data(self, data):
        self.words += data if not self._quiet else ""


def test_reset_letter_carries_the_link_alone_on_its_line():
    letter = reset()

    assert letter.to == "ann@example.org"
    assert letter.subject == "Reset your Cohort password"
    assert LINK in letter.text.splitlines()
    assert ("a", {"href": LINK}) in Page(letter.html).tags
    assert "Hello Ann," in letter.text
    assert "60 minutes" in letter.text


def test_reset_letter_counts_one_minute():
    letter = letters.password_reset(to="a@b.c", first_name="A", link=LINK, valid_minutes=1)

    assert "for 1 minute." in letter.text


def test_changed_letter_has_no_link():
    letter = letters.password_changed(to="ann@example.org", first_name="Ann")

    assert "://" not in letter.text + letter.html
    assert "href" not in letter.html


def test_invitation_carries_code_trainer_and_end():
    letter = invite(expires_at=datetime(2026, 12, 5, 17, 30, tzinfo=UTC))

    assert letter.subject == "Tom Weir invites you to train on Cohort"
    assert "K7QM-2WXP" in letter.text
    assert "<code>K7QM-2WXP</code>" in letter.html
    assert "until 2026-12-05 17:30 UTC." in letter.text
    assert "until" not in invite().text


@pytest.mark.parametrize("letter", every_letter(), ids=lambda letter: letter.subject)
def test_html_says_the_same_as_the_text(letter):
    page = Page(letter.html)

    for line in filter(None, (line.strip(" :") for line in letter.text.splitlines())):
        assert line in page.words


@pytest.mark.parametrize("letter", every_letter(), ids=lambda letter: letter.subject)
def test_html_is_accessible_and_fetches_nothing(letter):
    page = Page(letter.html)
    tags = [tag for tag, _ in page.tags]

    assert ("html", {"lang": "en"}) in page.tags
    assert tags.count("h1") == 1
    assert tags.count("title") == 1
    assert not {"img", "script", "link", "iframe", "video", "object", "form"} & set(tags)
    assert not re.search(r"url\(|@import|src=", letter.html)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "<b>Ann", '"><img src=x>', "Ann & Bob"])
def test_names_are_escaped_in_html(name):
    for letter in every_letter(name):
        assert "<script" not in letter.html
        assert "<img" not in letter.html
        assert "<b>" not in letter.html


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "Visit http://evil.example now",
        "www.evil.example",
        "win@evil",
        "a/b",
        "mailto:x",
        "   ",
        "",
        "\n\n",
    ],
)
def test_name_like_a_link_is_left_out(name):
    assert invite(name).subject == "A trainer invites you to train on Cohort"
    assert "Hello,\n" in reset(name).text
    assert "evil" not in "".join(letter.text + letter.html + letter.subject for letter in every_letter(name))


@pytest.mark.parametrize("name", ["Ann", "J.R. Smith", "Zoë", "王小明", "O'Brien", "Anne-Marie", "Dr. No"])
def test_real_name_stays(name):
    assert f"Hello {name}," in reset(name).text
    assert f"Hello {name}," in unescape(reset(name).html)


@settings(deadline=None, max_examples=30)  # a busy machine is no failure
@given(st.text(max_size=300))
def test_s36_subject_is_one_short_line_whatever_the_name(name):
    subject = invite(name).subject

    assert subject.isprintable()
    assert len(subject) <= 60 + len(" invites you to train on Cohort")
