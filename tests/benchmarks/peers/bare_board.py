"""The database query behind a leaderboard, by the same driver, and nothing else of a server.
The same condition and fields as the store's; no ranking, no JSON.
"""

import asyncio
import json
import time

from pymongo import AsyncMongoClient

from store.training import BOARD_FIELDS
from tests.benchmarks.load_http import percentile
from tests.benchmarks.peers import common


async def measure(client: AsyncMongoClient, trainer: int, askers: int, seconds: float) -> dict[str, float]:
    """So many who each ask again as soon as they were answered."""
    users = client.get_default_database("cohort").users
    where = {"$or": [{"_id": trainer}, {"parent_trainer": trainer}]}
    took: list[float] = []
    began = time.perf_counter()

    async def ask() -> None:
        while (start := time.perf_counter()) - began < seconds:
            await users.find(where, list(BOARD_FIELDS)).to_list()
            took.append(time.perf_counter() - start)

    await asyncio.gather(*(ask() for _ in range(askers)))
    passed = time.perf_counter() - began
    return {
        "rate": len(took) / passed,
        "p50": percentile(took, 50) * 1e3,
        "p99": percentile(took, 99) * 1e3,
    }


async def main() -> None:
    options = common.arguments(("--mongodb", str), ("--trainer", int))
    client: AsyncMongoClient = AsyncMongoClient(options.mongodb, maxPoolSize=64, tz_aware=True)
    tasks: set[asyncio.Task] = set()

    async def answer(askers: str, seconds: str) -> None:
        figures = await measure(client, options.trainer, int(askers), float(seconds))
        print(json.dumps(figures), flush=True)

    def on_line(line: bytes) -> None:
        task = asyncio.ensure_future(answer(*line.decode().split()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    common.read_lines(asyncio.get_running_loop(), on_line)
    await client.admin.command("ping")
    # Nothing listens: the line says that it is ready.
    print("listening on http://127.0.0.1:0", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
