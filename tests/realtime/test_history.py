"""The memory of a room: the ring stays dense whatever is deleted, and levels say how far back they reach.
The model of the ring is a plain list of all facts.
"""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.history import LEVEL_POSTS, RING_FACTS, LatestLevels, Ring
from realtime.protocol import seal_fact, seal_level
from tests.realtime.fakes import NOON, MemoryLog


def seqs(found):
    return None if found is None else [fact.position.seq for fact in found]


def ring_of(log: MemoryLog, *, base: int = 0) -> Ring:
    ring = Ring(base)
    for fact in log.facts[7][base:]:
        ring.append(seal_fact(fact))
    return ring


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(1, 6)),
        st.tuples(st.just("comment"), st.integers(1, 6)),
        st.tuples(st.just("delete_comment"), st.integers(1, 6)),
        st.tuples(st.just("delete_post"), st.integers(1, 6)),
        st.tuples(st.just("skip"), st.integers(1, 300)),
        st.tuples(st.just("forget_author"), st.sampled_from([17, 18, 19])),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS, st.integers(0, 60), st.integers(0, 60))
def test_ring_after_any_history_gives_what_the_log_would_or_nothing(steps, since, length):
    log, ring, ids = MemoryLog(), Ring(0), iter(range(10_000))
    unknown, posts, comments = set(), [], {}
    outdated = 0
    for what, number in steps:
        facts = log.facts.get(7, [])
        if what == "skip":
            for _ in range(number):
                unknown.add(log.post(1_000 + next(ids)).position.seq)
            ring.skip_to(len(log.facts[7]))
        elif what == "forget_author":
            shown = [fact.position.seq for fact in facts if fact.author_id == number]
            outdated = max([outdated, *(seq for seq in shown if seq not in unknown)])
            ring.forget_author(number)
        elif what == "clear":
            ring.clear(len(facts))
        elif what == "post":
            posts.append(next(ids))
            ring.append(seal_fact(log.post(posts[-1])))
        elif what == "delete_post":
            if posts:
                ring.append(seal_fact(log.delete_post(posts.pop(number % len(posts)))))
        elif what == "comment":
            comments[number] = next(ids)
            ring.append(seal_fact(log.comment(comments[number], 1_000_000 + number)))
        elif number in comments:
            gone = comments.pop(number)
            ring.append(seal_fact(log.delete_comment(gone, 1_000_000 + number)))
    head = len(log.facts.get(7, []))
    assert ring.last == head
    through = min(head, since + length)
    found = ring.after(min(since, through), through=through)
    if found is None:
        return
    assert min(since, through) >= outdated
    wanted = [
        fact.position.seq
        for fact in log.facts.get(7, [])[min(since, through) : through]
        if fact.position.seq not in log.gone(7) | unknown
    ]
    assert seqs(found) == wanted


def test_ring_when_full_keeps_the_latest():
    log = MemoryLog()
    for number in range(RING_FACTS + 10):
        log.post(number)
    ring = ring_of(log)
    assert ring.after(9, through=20) is None
    assert seqs(ring.after(10, through=20)) == list(range(11, 21))
    assert ring.time_of(10) == log.facts[7][9].at
    assert ring.time_of(9) is None


def test_ring_time_of_a_number_it_does_not_have_is_unknown():
    log = MemoryLog()
    log.post(1)
    ring = ring_of(log)
    assert ring.time_of(0) is None
    assert ring.time_of(2) is None
    ring.learn(0, NOON, (), through=0)
    ring.learn(5, NOON, (), through=5)
    assert ring.time_of(0) == NOON
    ring.skip_to(2)
    assert ring.time_of(2) is None
    assert ring.after(0, through=3) is None


def test_ring_after_a_long_hole_starts_anew_behind_it():
    ring = Ring(3)
    ring.skip_to(3 + RING_FACTS + 1)
    assert ring.after(3, through=ring.last) is None
    assert ring.after(ring.last, through=ring.last) == []


def test_ring_when_a_post_is_deleted_shows_only_deletions_of_it():
    log = MemoryLog()
    log.post(1)
    log.post(2)
    log.comment(5, 1)
    log.delete_comment(5, 1)
    log.delete_post(1)
    assert seqs(ring_of(log).after(0, through=5)) == [2, 4, 5]


def test_ring_when_an_author_changes_forgets_up_to_their_latest():
    log = MemoryLog()
    log.post(1, author_id=17)
    log.post(2, author_id=18)
    log.post(3, author_id=19)
    ring = ring_of(log)
    ring.forget_author(18)
    assert ring.after(1, through=3) is None
    assert seqs(ring.after(2, through=3)) == [3]
    ring.forget_author(17)
    assert seqs(ring.after(2, through=3)) == [3]


def test_levels_pass_only_newer_versions():
    log, levels = MemoryLog(), LatestLevels(NOON)
    second, first = log.react(1, version=2), log.react(1, version=1)
    assert levels.take(seal_level(second))
    assert not levels.take(seal_level(first))
    assert not levels.take(seal_level(second))
    assert [level.version for level in levels.since(NOON + timedelta(microseconds=1))] == [2]


def test_levels_reach_back_to_the_beginning_and_say_so():
    log, levels = MemoryLog(), LatestLevels(NOON)
    first = seal_level(log.react(1, version=1))
    second = seal_level(log.react(2, version=1))
    levels.take(first)
    mark = levels.mark
    levels.take(second)
    assert levels.since(NOON) is None
    assert levels.since(second.at) == [second]
    assert levels.since(first.at) == [first, second]
    assert levels.arrived_after(mark) == [second]
    assert levels.arrived_after(levels.mark) == []
    levels.forget_post(2)
    assert levels.since(first.at) == [first]


def test_levels_of_too_many_posts_reach_back_less_far():
    log, levels = MemoryLog(), LatestLevels(NOON)
    taken = [seal_level(log.react(post_id, version=1)) for post_id in range(LEVEL_POSTS + 2)]
    for level in taken:
        levels.take(level)
    assert levels.arrived_after(1) is None
    assert len(levels.arrived_after(2)) == LEVEL_POSTS
    assert levels.since(taken[1].at) is None
    assert len(levels.since(taken[2].at)) == LEVEL_POSTS


def test_ring_learns_from_the_log_what_lies_before_its_first():
    log = MemoryLog()
    facts = [seal_fact(log.post(number, author_id=number)) for number in range(1, 9)]
    ring = Ring(5)
    for fact in facts[5:]:
        ring.append(fact)
    ring.learn(2, facts[1].at, [facts[2], facts[4]], through=6)
    assert seqs(ring.after(2, through=8)) == [3, 5, 6, 7, 8]
    assert ring.time_of(2) == facts[1].at
    assert ring.time_of(4) is None
    assert ring.after(1, through=8) is None
    ring.forget_author(3)
    assert ring.after(2, through=8) is None
    assert seqs(ring.after(3, through=8)) == [5, 6, 7, 8]


def test_ring_learns_nothing_that_does_not_reach_up_to_its_first():
    log = MemoryLog()
    facts = [seal_fact(log.post(number)) for number in range(1, 9)]
    ring = Ring(5)
    ring.learn(2, NOON, facts[2:4], through=4)
    ring.learn(6, NOON, facts[6:], through=8)
    assert ring.after(4, through=5) is None
    assert ring.last == 5


def test_ring_learns_no_more_than_it_keeps():
    log = MemoryLog()
    facts = [seal_fact(log.post(number)) for number in range(1, RING_FACTS + 11)]
    ring = Ring(RING_FACTS)
    for fact in facts[RING_FACTS:]:
        ring.append(fact)
    ring.learn(0, NOON, facts[:RING_FACTS], through=RING_FACTS)
    assert ring.after(9, through=RING_FACTS + 10) is None
    assert seqs(ring.after(10, through=RING_FACTS + 10)) == list(range(11, RING_FACTS + 11))
    assert ring.time_of(10) == facts[9].at


def test_ring_shows_nothing_that_was_deleted_while_the_log_was_read():
    log = MemoryLog()
    post, comment = seal_fact(log.post(1)), seal_fact(log.comment(7, 1))
    ring = Ring(2)
    ring.append(seal_fact(log.delete_comment(7, 1)))
    ring.learn(0, NOON, [post, comment], through=2)
    assert seqs(ring.after(0, through=3)) == [1, 3]


def test_levels_reach_back_as_far_as_they_were_given():
    log = MemoryLog()
    levels = LatestLevels(NOON)
    level = seal_level(log.react(1, version=1))
    levels.take(level)
    early = NOON - timedelta(minutes=5)
    assert levels.since(early) is None
    levels.reach_back(early)
    assert levels.since(early) == [level]
    assert levels.since(early - timedelta(milliseconds=1)) is None


def test_levels_do_not_reach_back_over_what_they_forgot():
    log = MemoryLog()
    levels = LatestLevels(NOON)
    for post_id in range(LEVEL_POSTS + 1):
        levels.take(seal_level(log.react(post_id, version=1)))
    levels.reach_back(NOON - timedelta(minutes=5))
    assert levels.since(NOON) is None
