"""Peer: the work on a picture and nothing else: no server, no form, no file, no database.
It answers each line `rework SECONDS` with how many pictures a second it made of the one in `--picture`.
"""

import asyncio
import json
import time
from pathlib import Path

from community.images import rework
from community.pictures import OF_POST
from tests.benchmarks.peers import common


def measure(raw: bytes, seconds: float) -> dict[str, float]:
    began = time.perf_counter()
    made = 0
    while (passed := time.perf_counter() - began) < seconds or made < 2:
        rework(raw, kind="JPEG", widths=list(OF_POST.widths), square=OF_POST.square)
        made += 1
    return {"rate": made / passed}


async def main() -> None:
    raw = common.arguments(("--picture", Path)).picture.read_bytes()

    def on_line(line: bytes) -> None:
        print(json.dumps(measure(raw, float(line.split()[1]))), flush=True)

    common.read_lines(asyncio.get_running_loop(), on_line)
    # Nothing listens: the line says that it is ready.
    print("listening on http://127.0.0.1:0", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
