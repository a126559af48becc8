"""Members who write all there is to write, each one thing after the other, and keep what they were told of it.
What is broken meanwhile is the scenario's.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from store.store import Store
from tests.chaos.load import FEED, TYPES, Deed, Make
from tests.support.http_connection import HttpAnswer
from tests.support.population import Group, Member
from tests.support.written import Written


@dataclass
class Writer:
    """One member. What is under way is in nobody's book: it may have happened or not until the answer is there."""

    member: Member
    post_ids: Sequence[int]
    written: Written
    # Each of their comments that is there: its path and text.
    comments: list[tuple[str, str]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def make(self, chance: random.Random) -> Deed:
        """Mostly reactions and comments; some comments are deleted again, and now and then there is a post."""
        what = chance.random()
        if what < 0.5:
            return self._react(chance.choice(self.post_ids), chance.choice(TYPES))
        if what < 0.7 and self.comments:
            return self._delete(*self.comments.pop(chance.randrange(len(self.comments))))
        text = f"{self.member.user_id} {next(self._numbers)}"
        if what < 0.97:
            return self._comment(f"{FEED}{chance.choice(self.post_ids)}/comments/", text)
        return self._post(text)

    def _react(self, post_id: int, kind: str) -> Deed:
        reaction = (self.member.user_id, post_id, kind)
        self.written.reactions.pop(reaction, None)

        def done(answer: HttpAnswer) -> None:
            if answer.status == 200:
                self.written.reactions[reaction] = answer.json["active"]

        return Deed(self.member, "POST", f"{FEED}{post_id}/react/", {"reaction_type": kind}, done=done)

    def _comment(self, path: str, text: str) -> Deed:
        def done(answer: HttpAnswer) -> None:
            if answer.status == 201:
                self.written.comments[text] = True
                self.comments.append((f"{path}{answer.json['id']}/", text))

        return Deed(self.member, "POST", path, {"content": text}, creates=True, done=done)

    def _delete(self, path: str, text: str) -> Deed:
        del self.written.comments[text]

        def done(answer: HttpAnswer) -> None:
            # 404: an earlier try, which was not answered well, had done it.
            if answer.status in {204, 404}:
                self.written.comments[text] = False

        return Deed(self.member, "DELETE", path, done=done)

    def _post(self, text: str) -> Deed:
        def done(answer: HttpAnswer) -> None:
            if answer.status == 201:
                self.written.posts[text] = True

        return Deed(self.member, "POST", FEED, {"content": text}, creates=True, done=done)


async def open_posts(store: Store, groups: Sequence[Group], count: int) -> dict[Group, list[int]]:
    """So many posts in each group to write about, each with its fact and with words of its own."""
    found: dict[Group, list[int]] = {group: [] for group in groups}
    for group in groups:
        for number in range(count):
            words = f"Before {number} of {group.community_id}"
            post, _ = await store.posts.add(
                community_id=group.community_id,
                author_id=group.trainer.user_id,
                content=words,
                content_format="plain",
            )
            found[group].append(post.id)
    return found


def writers(post_ids: Mapping[Group, Sequence[int]], written: Written, count: int) -> list[Make]:
    """So many writers, spread over the groups, each with a connection of its own: nobody does two things at once."""
    people = [[(member, post_ids[group]) for member in group.members] for group in post_ids]
    chosen = list(itertools.islice(itertools.chain.from_iterable(zip(*people, strict=True)), count))
    assert len(chosen) == count, "the groups have too few members"
    return [Writer(member, about, written).make for member, about in chosen]
