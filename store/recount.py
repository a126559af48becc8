"""The proof of the embedded counts: what they should be, counted from the documents themselves.

Serving a request never comes through here; the recount script and the tests do.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from store.database import Database, Document, Session
from store.records import REACTION_TYPES

# How many posts are compared by one pair of queries.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Miscount:
    """A post whose embedded ``field`` says ``stored`` while the documents say ``counted``."""

    post_id: int
    field: str
    stored: int
    counted: int


class Recount:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._posts = database.table("posts")
        self._comments = database.table("comments")
        self._reactions = database.table("reactions")
        self._communities = database.table("communities")
        self._events = database.table("events")

    async def miscounts(self) -> AsyncIterator[Miscount]:
        """Give every count that differs. Posts that change meanwhile are looked at again in a transaction."""
        batch: list[Document] = []
        async for post in self._posts.scan({}, fields=["reactions", "comment_count"]):
            batch.append(post)
            if len(batch) == BATCH:
                for wrong in await self._compare(batch):
                    yield wrong
                batch = []
        for wrong in await self._compare(batch):
            yield wrong

    async def _compare(self, posts: list[Document]) -> list[Miscount]:
        ids = [post["_id"] for post in posts]
        if not ids:
            return []
        reactions = await self._reactions.aggregate(
            [
                {"$match": {"post_id": {"$in": ids}}},
                {"$group": {"_id": {"post": "$post_id", "type": "$reaction_type"}, "n": {"$sum": 1}}},
            ]
        )
        comments = await self._comments.aggregate(
            [{"$match": {"post_id": {"$in": ids}}}, {"$group": {"_id": "$post_id", "n": {"$sum": 1}}}]
        )
        counted = {(each["_id"]["post"], each["_id"]["type"]): each["n"] for each in reactions}
        commented = {each["_id"]: each["n"] for each in comments}
        suspects = [post["_id"] for post in posts if _differences(post, counted, commented)]
        found: list[Miscount] = []
        for post_id in suspects:
            found += await self._database.transact(partial(self._look, post_id))
        return found

    async def _look(self, post_id: int, session: Session) -> list[Miscount]:
        """Compare one post in one snapshot, where writers cannot come between."""
        post = await self._posts.get({"_id": post_id}, session=session)
        if post is None:
            return []
        reactions = await self._reactions.find(
            {"post_id": post_id}, fields=["reaction_type"], session=session
        )
        counted: dict[tuple[int, str], int] = {}
        for each in reactions:
            key = (post_id, each["reaction_type"])
            counted[key] = counted.get(key, 0) + 1
        comments = await self._comments.find({"post_id": post_id}, fields=["_id"], session=session)
        return _differences(post, counted, {post_id: len(comments)})

    async def fix(self, post_id: int) -> list[Miscount]:
        """Set a post's counts to what one snapshot counts, and give what was wrong. Atomic."""

        async def write(session: Session) -> list[Miscount]:
            wrong = await self._look(post_id, session)
            if wrong:
                change = {each.field: each.counted for each in wrong}
                await self._posts.update(
                    {"_id": post_id}, {"$set": change, "$inc": {"reactions_version": 1}}, session=session
                )
            return wrong

        return await self._database.transact(write)

    async def gaps(self) -> list[tuple[int, str]]:
        """Give rooms whose log has a hole or does not end at the room's number, each with a sentence."""
        found: list[tuple[int, str]] = []
        async for room in self._communities.scan({}):
            expected: int | None = None
            where = {"_id": {"$gte": {"community_id": room["_id"], "seq": 0},
                             "$lte": {"community_id": room["_id"], "seq": room["seq"]}}}  # fmt: skip
            async for event in self._events.scan(where, fields=["_id"]):
                seq = event["_id"]["seq"]
                if expected is not None and seq != expected:
                    found.append((room["_id"], f"fact {expected} is missing before {seq}"))
                expected = seq + 1
            if room["seq"] and expected != room["seq"] + 1:
                found.append((room["_id"], f"the log ends before fact {room['seq']}"))
        return found


def _differences(
    post: Document, counted: dict[tuple[int, str], int], commented: dict[int, int]
) -> list[Miscount]:
    post_id = post["_id"]
    stored = post.get("reactions", {})
    pairs = [
        (f"reactions.{kind}", stored.get(kind, 0), counted.get((post_id, kind), 0)) for kind in REACTION_TYPES
    ]
    pairs.append(("comment_count", post.get("comment_count", 0), commented.get(post_id, 0)))
    return [Miscount(post_id, field, have, true) for field, have, true in pairs if have != true]
