"""Who joins, writes, answers and reacts in the demo, and when: a pure function of the time it ends at.

The words come from ``community.demo_words``; putting the plan into a database is done in ``community.demo``.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from zoneinfo import ZoneInfo

from community.demo_words import Cast, Notice, Saying, Topic, Words, address_of, load_words
from store.ids import RANDOM_BITS, first_id_at
from store.records import REACTION_TYPES, TRAINEE, TRAINER

# Any number would do; with the same one and the same end every plan is the same to the letter.
SEED = 2026
DAYS = 21
# Nothing is written in the last minutes, so that whoever looks first sees a group that was there before.
QUIET = timedelta(minutes=4)
AWAKE = (6.5, 22.75)
# A trainee writes this much less than the one before in the list: the first twenty posts, the last one or none.
FADING = 0.86
# Of one author's posts.
APART = timedelta(hours=5)
MOST_ANSWERS = 7
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: int
    email: str
    first_name: str
    last_name: str
    role: str
    timezone: str
    joined_at: datetime
    # How likely this person is to answer or react, from 0 to 1.
    sociable: float

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


@dataclass(slots=True, kw_only=True)
class PlannedPost:
    """A post, and what to make of it while the plan grows."""

    at: datetime
    author: Person
    topic: Topic
    saying: Saying
    text: str
    id: int = 0


@dataclass(slots=True, kw_only=True)
class PlannedComment:
    at: datetime
    author: Person
    post: PlannedPost
    text: str
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReaction:
    at: datetime
    by: Person
    reaction_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAnnouncement:
    at: datetime
    notice: Notice
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """One group. ``entries`` are in the order in which they happen, with ids that grow; so are ``announcements``."""

    trainer: Person
    invite_id: int
    invited_at: datetime
    trainees: tuple[Person, ...]
    entries: tuple[PlannedPost | PlannedComment, ...]
    reactions: tuple[tuple[PlannedPost, tuple[PlannedReaction, ...]], ...]
    announcements: tuple[PlannedAnnouncement, ...]


def make_plan(ends_at: datetime) -> tuple[GroupPlan, ...]:
    """Give all groups, with three weeks of their life up to ``ends_at``, an aware time."""
    words = load_words()
    return tuple(
        _Planner(words, cast, number, ends_at - QUIET).group() for number, cast in enumerate(words.casts)
    )


class _Planner:
    """Plans one group; everything random comes from one generator, in one order."""

    def __init__(self, words: Words, cast: Cast, number: int, ends_at: datetime) -> None:
        # No secret comes from here.
        self._rng = random.Random(SEED + number)  # noqa: S311
        self._words = words
        self._cast = cast
        self._number = number
        self._ends_at = ends_at
        self._zone = ZoneInfo(cast.timezone)
        self._today = ends_at.astimezone(self._zone).date()
        self._posts: list[PlannedPost] = []
        self._said: Counter[str] = Counter()
        self._spoken: set[tuple[int, str]] = set()

    def group(self) -> GroupPlan:
        founded = self._local(self._today - timedelta(days=DAYS + 3), 9)
        self._trainer = self._person(self._cast.trainer, TRAINER, founded)
        invited_at = founded + _minutes(20)
        self._trainees = self._everybody(invited_at)
        self._plan_posts()
        self._posts.sort(key=attrgetter("at"))
        comments = [comment for post in self._posts for comment in self._answers(post)]
        reactions = tuple((post, tuple(self._reactions(post))) for post in self._posts)
        entries: list[PlannedPost | PlannedComment] = sorted([*self._posts, *comments], key=attrgetter("at"))
        for before, entry in zip([None, *entries], entries, strict=False):
            if before is not None:
                entry.at = max(entry.at, before.at + MILLISECOND)
            entry.id = self._id(entry.at)
        return GroupPlan(
            trainer=self._trainer,
            invite_id=self._id(invited_at),
            invited_at=invited_at,
            trainees=self._trainees,
            entries=tuple(entries),
            reactions=reactions,
            announcements=tuple(self._announcements()),
        )

    # People

    def _everybody(self, invited_at: datetime) -> tuple[Person, ...]:
        joined_at = invited_at
        first: list[Person] = []
        for name in self._cast.trainees:
            if name not in self._cast.newcomers:
                joined_at += _minutes(self._rng.uniform(4, 70))
                first.append(self._person(name, TRAINEE, joined_at))
        late: list[Person] = []
        for name, days_ago in self._cast.newcomers.items():
            hour = self._rng.uniform(9, 18)
            late.append(
                self._person(name, TRAINEE, self._local(self._today - timedelta(days=days_ago), hour))
            )
        return tuple(sorted([*first, *late], key=attrgetter("joined_at")))

    def _person(self, name: str, role: str, joined_at: datetime) -> Person:
        first_name, _, last_name = name.partition(" ")
        return Person(
            id=self._id(joined_at),
            email=address_of(name),
            first_name=first_name,
            last_name=last_name,
            role=role,
            timezone=self._cast.timezone,
            joined_at=joined_at,
            sociable=0.9 if role == TRAINER else self._rng.uniform(0.15, 0.85),
        )

    def _members(self, post: PlannedPost) -> list[Person]:
        """Everybody who may answer: in the group by then, and not the author."""
        everybody = [self._trainer, *self._trainees]
        return [each for each in everybody if each.joined_at < post.at and each is not post.author]

    # Posts

    def _plan_posts(self) -> None:
        topics = self._words.topics
        mondays = [day for day in self._days() if day.weekday() == 0]
        for place, monday in enumerate(mondays, start=self._number):
            at = self._local(monday, self._rng.uniform(6.5, 7.5))
            if at < self._ends_at:
                plans = self._words.plans
                self._post(self._trainer, at, topics["coaching"], plans[place % len(plans)])
        for person in self._trainees:
            if person.joined_at > self._local(self._today - timedelta(days=DAYS), 0):
                at = person.joined_at + _minutes(self._rng.uniform(5, 40))
                self._post(person, min(at, self._ends_at), topics["hello"], self._unsaid(topics["hello"]))
        for place, (topic, essay) in enumerate(self._words.essays):
            if place % len(self._words.casts) == self._number:
                self._post_some_time(self._trainees[place], topics[topic], essay)
        for _ in range(self._cast.posts // 12):
            self._post_some_time(self._trainer, topics["coaching"])
        while len(self._posts) < self._cast.posts:
            writer = self._writer()
            self._post_some_time(writer, self._topic(writer))

    def _writer(self) -> Person:
        names = self._cast.trainees
        energy = {name: FADING**rank for rank, name in enumerate(names)}
        weights = [energy[each.name] for each in self._trainees]
        return self._rng.choices(self._trainees, weights)[0]

    def _topic(self, writer: Person) -> Topic:
        """A topic for this person that still has something unsaid, by its share."""
        settled = writer.name not in self._cast.newcomers
        topics = [
            each
            for each in self._words.topics.values()
            if each.share and self._fresh(each) and (settled or not each.settled)
        ]
        return self._rng.choices(topics, [each.share for each in topics])[0]

    def _fresh(self, topic: Topic) -> list[Saying]:
        """What was not said yet; where all was, what reads differently a second time."""
        unsaid = [each for each in topic.posts if not self._said[each.text]]
        return unsaid or [each for each in topic.posts if len(each.slots) > 1 and self._said[each.text] == 1]

    def _unsaid(self, topic: Topic) -> Saying:
        return self._rng.choice(self._fresh(topic))

    def _post_some_time(self, author: Person, topic: Topic, saying: Saying | None = None) -> None:
        at = self._moment(author, topic)
        if at is not None:
            self._post(author, at, topic, saying or self._unsaid(topic))

    def _post(self, author: Person, at: datetime, topic: Topic, saying: Saying) -> None:
        self._said[saying.text] += 1
        text = saying.text
        if saying.content_format == "plain":
            written = {post.text for post in self._posts}
            text = self._words.filled(saying.text, self._rng)
            while text in written:
                text = self._words.filled(saying.text, self._rng)
        self._posts.append(PlannedPost(at=at, author=author, topic=topic, saying=saying, text=text))

    def _moment(self, author: Person, topic: Topic) -> datetime | None:
        """A time in the topic's hours at which this author was there and had not just written; None for bad luck."""
        own = [post.at for post in self._posts if post.author is author]
        for _ in range(60):
            at = self._local(self._rng.choice(self._days()), self._rng.uniform(*topic.hours))
            new = at - author.joined_at < APART
            if at < self._ends_at and not new and all(abs(at - other) > APART for other in own):
                return at
        return None

    def _announcements(self) -> Iterator[PlannedAnnouncement]:
        for notice in self._words.notices:
            if notice.trainer == self._cast.trainer:
                at = self._local(self._today - timedelta(days=notice.days_ago), notice.hour)
                yield PlannedAnnouncement(at=at, notice=notice, id=self._id(at))

    # Answers

    def _answers(self, post: PlannedPost) -> list[PlannedComment]:
        """What others say to a post, oldest first, and sometimes the author's own last word."""
        rng = self._rng
        members = self._members(post)
        wanted = min(MOST_ANSWERS, round(rng.expovariate(1 / (0.8 * post.topic.talk))), len(members))
        texts = [each for each in post.saying.answers if rng.random() < 0.6]
        general = sorted(post.topic.comments, key=lambda text: (self._said[text], rng.random()))
        texts += general[: max(0, wanted - len(texts))]
        rng.shuffle(texts)
        said: list[PlannedComment] = []
        at = post.at + _minutes(rng.expovariate(1 / 25))
        for text in texts:
            by = self._speaker(members, text)
            if by is not None:
                members.remove(by)
                said.append(self._comment(post, by, at, text))
                at += _minutes(1 + rng.expovariate(1 / 60))
        coach = post.saying.coach or (post.topic.coach if rng.random() < 0.2 else ())
        if coach and self._trainer in members:
            at = post.at + _minutes(rng.uniform(10, 400))
            said.append(self._comment(post, self._trainer, at, rng.choice(coach)))
        return self._in_time([*said, *self._last_word(post, said)])

    def _last_word(self, post: PlannedPost, said: Sequence[PlannedComment]) -> list[PlannedComment]:
        rng = self._rng
        thanks = post.saying.author or (post.topic.thanks if rng.random() < 0.4 else ())
        if len(said) < 2 or not thanks:
            return []
        at = max(each.at for each in said) + _minutes(rng.uniform(5, 180))
        return [self._comment(post, post.author, at, rng.choice(thanks))]

    def _speaker(self, members: Sequence[Person], text: str) -> Person | None:
        """Somebody among them, but not the trainer, who has not said this before."""
        able = [each for each in members if each.role == TRAINEE and (each.id, text) not in self._spoken]
        if not able:
            return None
        by = self._rng.choices(able, [each.sociable for each in able])[0]
        self._spoken.add((by.id, text))
        return by

    def _comment(self, post: PlannedPost, by: Person, at: datetime, text: str) -> PlannedComment:
        self._said[text] += 1
        said = text.replace("{name}", post.author.first_name)
        return PlannedComment(at=self._awake(by, at), author=by, post=post, text=said)

    def _in_time(self, comments: list[PlannedComment]) -> list[PlannedComment]:
        return sorted((each for each in comments if each.at < self._ends_at), key=attrgetter("at"))

    def _reactions(self, post: PlannedPost) -> list[PlannedReaction]:
        rng = self._rng
        found: list[PlannedReaction] = []
        for by in self._members(post):
            if rng.random() > by.sociable * 0.23 * post.topic.warmth:
                continue
            at = self._awake(by, post.at + _minutes(0.5 + rng.expovariate(1 / 150)))
            kinds = set(rng.choices(REACTION_TYPES, post.topic.reactions, k=2 if rng.random() < 0.15 else 1))
            for kind in sorted(kinds):
                at += _minutes(rng.uniform(1, 4) / 60)
                if at < self._ends_at:
                    found.append(PlannedReaction(at=at, by=by, reaction_type=kind))
        return sorted(found, key=attrgetter("at"))

    # Times

    def _days(self) -> list[date]:
        return [self._today - timedelta(days=ago) for ago in range(DAYS)]

    def _local(self, day: date, hour: float) -> datetime:
        """That hour of that day where the group lives, in UTC and whole milliseconds."""
        start = datetime.combine(day, time(), self._zone)
        return (start + _minutes(hour * 60)).astimezone(UTC)

    def _awake(self, person: Person, at: datetime) -> datetime:
        """The same time, or the next morning where the person sleeps then."""
        local = at.astimezone(person.zone)
        hour = local.hour + local.minute / 60
        if AWAKE[0] <= hour <= AWAKE[1]:
            return at
        day = local.date() + timedelta(days=1 if hour > AWAKE[1] else 0)
        return self._local(day, AWAKE[0] + self._rng.expovariate(1 / 0.8))

    def _id(self, at: datetime) -> int:
        """An id of that millisecond that no other group's plan has."""
        bits = RANDOM_BITS - 1
        return first_id_at(round(at.timestamp() * 1000)) | self._number << bits | self._rng.getrandbits(bits)


def _minutes(number: float) -> timedelta:
    """So many minutes in whole milliseconds, as the database keeps times."""
    return int(number * 60_000) * MILLISECOND
