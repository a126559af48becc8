"""The database transactions behind a comment and a reaction, by the same driver, and nothing else of a server.
The same documents and statements as the store's; no check, no queue, no JSON, no event.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tests.benchmarks.load_http import percentile
from tests.benchmarks.peers import common

MAJORITY = WriteConcern(w="majority", j=True)

# The ids of this process lie far from those that the server makes.
IDS = itertools.count(8_000_000_000_000_000 + random.randrange(10**14))

Statements = Callable[[AsyncClientSession, dict[str, Any]], Awaitable[None]]


class Transactions:
    """The two transactions on one client. A target says who writes about which post in which room."""

    def __init__(self, uri: str) -> None:
        self.client: AsyncMongoClient = AsyncMongoClient(
            uri, maxPoolSize=64, w="majority", journal=True, tz_aware=True
        )
        self.tables = self.client.get_default_database("cohort").with_options(write_concern=MAJORITY)
        self.seqs: dict[int, int] = {}

    async def run(self, statements: Statements, target: dict[str, Any]) -> None:
        """One transaction, again after a conflict."""
        while True:
            try:
                async with self.client.start_session() as session:
                    await session.start_transaction(ReadConcern("snapshot"), MAJORITY)
                    await statements(session, target)
                    await session.commit_transaction()
                return
            except PyMongoError as error:
                if not error.has_error_label("TransientTransactionError"):
                    raise
                await asyncio.sleep(random.uniform(0, 0.004))

    async def comment(self, session: AsyncClientSession, target: dict[str, Any]) -> None:
        now, room = datetime.now(UTC), target["community_id"]
        comment = {
            "_id": next(IDS),
            "post_id": target["post_id"],
            "community_id": room,
            "author_id": target["user_id"],
            "content": common.PARAGRAPH,
            "created_at": now,
        }
        await self.tables.comments.insert_one(comment, session=session)
        post = await self.tables.posts.find_one_and_update(
            {"_id": target["post_id"]}, {"$inc": {"comment_count": 1}}, ["comment_count"], session=session
        )
        self.seqs[room] = seq = self.seqs.get(room, target["seq"]) + 1
        event = {
            "_id": {"community_id": room, "seq": seq},
            "kind": "new_comment",
            "post_id": target["post_id"],
            "author_id": target["user_id"],
            "comment_id": comment["_id"],
            "comment_count": post["comment_count"],
            "at": now,
        }
        await self.tables.events.insert_one(event, session=session)
        await self.tables.communities.update_one({"_id": room}, {"$inc": {"seq": 1}}, session=session)

    async def reaction(self, session: AsyncClientSession, target: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        own = {"user_id": target["user_id"], "post_id": target["post_id"]}
        mine = await self.tables.reactions.find(own, ["reaction_type"], session=session).to_list()
        found = [each["_id"] for each in mine if each["reaction_type"] == "fire"]
        if found:
            await self.tables.reactions.delete_one({"_id": found[0]}, session=session)
        else:
            reaction = {
                "_id": next(IDS),
                **own,
                "community_id": target["community_id"],
                "reaction_type": "fire",
                "created_at": now,
            }
            await self.tables.reactions.insert_one(reaction, session=session)
        change = {
            "$inc": {"reactions.fire": -1 if found else 1, "reactions_version": 1},
            "$set": {"reactions_at": now},
        }
        await self.tables.posts.find_one_and_update({"_id": target["post_id"]}, change, session=session)


async def measure(
    transactions: Transactions, writers: list[list[dict[str, Any]]], kind: str, seconds: float, pause: float
) -> dict[str, float]:
    """All writers at once, each over its own targets in turn; `pause` seconds lie between two starts, or none."""
    statements = getattr(transactions, kind)
    took: list[float] = []
    began = time.perf_counter()

    async def write(targets: list[dict[str, Any]]) -> None:
        due = began
        for target in itertools.cycle(targets):
            due += pause
            await asyncio.sleep(max(0.0, due - time.perf_counter()) if pause else 0)
            start = time.perf_counter()
            if start - began >= seconds:
                return
            await transactions.run(statements, target)
            took.append(time.perf_counter() - start)

    await asyncio.gather(*(write(targets) for targets in writers))
    passed = time.perf_counter() - began
    p50, p99 = percentile(took, 50), percentile(took, 99)
    return {"rate": len(took) / passed, "p50": p50 * 1e3, "p99": p99 * 1e3}


async def main() -> None:
    options = common.arguments(("--mongodb", str), ("--plan", Path))
    writers = json.loads(options.plan.read_text())
    transactions = Transactions(options.mongodb)
    tasks: set[asyncio.Task] = set()

    async def answer(kind: str, seconds: str, pause: str) -> None:
        figures = await measure(transactions, writers, kind, float(seconds), float(pause))
        print(json.dumps(figures), flush=True)

    def on_line(line: bytes) -> None:
        task = asyncio.ensure_future(answer(*line.decode().split()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    common.read_lines(asyncio.get_running_loop(), on_line)
    await transactions.client.admin.command("ping")
    # Nothing listens: the line says that it is ready.
    print("listening on http://127.0.0.1:0", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
