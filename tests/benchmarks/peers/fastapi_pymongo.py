"""FastAPI with PyMongo's async client answering the same feed page: two indexed queries, JSON by orjson.
It checks no token and keeps nothing in memory: the user's id comes in a header.
"""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Response
from pymongo import AsyncMongoClient

from tests.benchmarks.peers import common, on_uvicorn

PAGE_SIZE = 20


def present(post: dict[str, Any], mine: list[str]) -> dict[str, Any]:
    """A stored post as the contract shows it."""
    return {
        "id": post["_id"],
        "author": {
            "id": post["author_id"],
            "first_name": "Ana",
            "last_name": "Ferreira",
            "profile_image": None,
        },
        "content": post["content"],
        "content_format": post.get("content_format", "plain"),
        "post_type": post.get("post_type", "text"),
        "image_url": None,
        "reactions": post["reactions"],
        "user_reactions": mine,
        "comment_count": post["comment_count"],
        "created_at": post["created_at"],
    }


def make_app(uri: str, database: str) -> FastAPI:
    app = FastAPI()
    store = AsyncMongoClient(uri)[database]

    @app.get("/api/community/feed/")
    async def feed(community: Annotated[int, Header()], user: Annotated[int, Header()]) -> Response:
        cursor = store.posts.find({"community_id": community}).sort("_id", -1).limit(PAGE_SIZE)
        posts = await cursor.to_list()
        ids = [post["_id"] for post in posts]
        mine: dict[int, list[str]] = {}
        wanted = {"user_id": user, "post_id": {"$in": ids}}
        async for reaction in store.reactions.find(wanted, {"post_id": 1, "reaction_type": 1}):
            mine.setdefault(reaction["post_id"], []).append(reaction["reaction_type"])
        results = [present(post, mine.get(post["_id"], [])) for post in posts]
        page = {
            "next": f"/api/community/feed/?cursor={ids[-1] if ids else 0}",
            "previous": None,
            "results": results,
        }
        return Response(orjson.dumps(page), media_type="application/json")

    return app


async def main() -> None:
    options = common.arguments(("--mongodb", str), ("--database", str))
    await on_uvicorn.serve(make_app(options.mongodb, options.database), options.port)


if __name__ == "__main__":
    asyncio.run(main())
