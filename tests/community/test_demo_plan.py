"""The plan of the demo as a pure function: the same for the same time, and believable for any."""

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from community.demo_plan import DAYS, GroupPlan, PlannedComment, PlannedPost, make_plan
from community.demo_words import load_words
from config.clock import whole_milliseconds
from store.records import TRAINER

# An afternoon; a Monday night; just after midnight on the day the clocks change; New Year's Day.
ENDS = [
    datetime(2026, 11, 21, 13, 0, 0, 123_000, tzinfo=UTC),
    datetime(2026, 11, 23, 2, 10, tzinfo=UTC),
    datetime(2027, 3, 28, 0, 1, tzinfo=UTC),
    datetime(2027, 1, 1, 8, 59, tzinfo=UTC),
]


@cache
def plan(ends_at: datetime) -> tuple[GroupPlan, ...]:
    """The plan, made once for all who look at it."""
    return make_plan(ends_at)


def posts_of(group: GroupPlan) -> list[PlannedPost]:
    return [entry for entry in group.entries if isinstance(entry, PlannedPost)]


def comments_of(group: GroupPlan) -> list[PlannedComment]:
    return [entry for entry in group.entries if isinstance(entry, PlannedComment)]


@pytest.mark.parametrize("ends_at", ENDS)
def test_plan_is_the_same_for_the_same_end(ends_at: datetime) -> None:
    assert make_plan(ends_at) == make_plan(ends_at)


@pytest.mark.parametrize("ends_at", ENDS)
def test_plan_has_the_promised_size(ends_at: datetime) -> None:
    groups = plan(ends_at)
    assert [len(group.trainees) for group in groups] == [19, 11]
    assert sum(len(posts_of(group)) for group in groups) == 200
    assert {group.trainer.role for group in groups} == {TRAINER}
    for group in groups:
        formats = {post.saying.content_format for post in posts_of(group)}
        assert formats == {"plain", "markdown"}


@pytest.mark.parametrize("ends_at", ENDS)
def test_everything_happens_in_order_and_before_the_end(ends_at: datetime) -> None:
    for group in plan(ends_at):
        times = [entry.at for entry in group.entries]
        ids = [entry.id for entry in group.entries]
        assert times == sorted(times)
        assert ids == sorted(set(ids))
        assert ends_at - timedelta(days=DAYS + 1) < times[0]
        assert times[-1] < ends_at
        assert all(whole_milliseconds(at) == at for at in times)
        assert all(entry.at > entry.author.joined_at for entry in group.entries)
        assert all(comment.at > comment.post.at for comment in comments_of(group))
        for post, reactions in group.reactions:
            assert all(post.at < reaction.at < ends_at for reaction in reactions)
            assert all(whole_milliseconds(reaction.at) == reaction.at for reaction in reactions)
            assert all(reaction.by.joined_at < post.at for reaction in reactions)
            assert len({(each.by.id, each.reaction_type) for each in reactions}) == len(reactions)


@pytest.mark.parametrize("ends_at", ENDS)
def test_nobody_writes_at_night(ends_at: datetime) -> None:
    for group in plan(ends_at):
        hours = {entry.at.astimezone(entry.author.zone).hour for entry in group.entries}
        assert hours <= set(range(5, 23))


@pytest.mark.parametrize("ends_at", ENDS)
def test_nothing_is_said_twice_or_left_unfilled(ends_at: datetime) -> None:
    for group in plan(ends_at):
        texts = [post.text for post in posts_of(group)]
        assert len(set(texts)) == len(texts)
        said = {(comment.author.id, comment.text) for comment in comments_of(group) if "{" in comment.text}
        assert not said
        assert not [text for text in texts if "{" in text]


@pytest.mark.parametrize("ends_at", ENDS)
def test_ids_are_unique_across_groups(ends_at: datetime) -> None:
    groups = plan(ends_at)
    people = [person.id for group in groups for person in (group.trainer, *group.trainees)]
    assert len(set(people)) == len(people) == 32
    entries = [entry.id for group in groups for entry in group.entries]
    assert len(set(entries)) == len(entries)


@pytest.mark.parametrize("ends_at", ENDS)
def test_announcements_are_made_in_order_and_before_the_end(ends_at: datetime) -> None:
    for group in make_plan(ends_at):
        times = [planned.at for planned in group.announcements]
        assert times == sorted(times)
        assert group.trainer.joined_at < times[0]
        assert times[-1] < ends_at
        assert group.announcements[0].notice.is_pinned
        assert all(len(planned.notice.title) <= 200 for planned in group.announcements)


def test_activity_differs_from_person_to_person() -> None:
    group = plan(ENDS[0])[0]
    counts = sorted(sum(post.author is person for post in posts_of(group)) for person in group.trainees)
    assert counts[-1] >= 10
    assert counts[0] <= 2


def test_words_fit_the_limits_of_posts_and_comments() -> None:
    words = load_words()
    for topic in words.topics.values():
        answers = [
            text for saying in topic.posts for text in (*saying.answers, *saying.coach, *saying.author)
        ]
        assert all(0 < len(text) <= 450 for text in [*topic.comments, *topic.coach, *topic.thanks, *answers])
        assert all(0 < len(saying.text) <= 4_000 for saying in topic.posts)
    assert sum(len(topic.posts) for topic in words.topics.values()) >= 60
