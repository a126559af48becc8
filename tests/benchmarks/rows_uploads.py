"""Posts with a picture: how many a second one server takes, beside the work on the picture alone.
What is done to a picture is in `community.images`.
"""

import json
from contextlib import ExitStack

from tests.benchmarks import cohort
from tests.benchmarks.load_http import MakeRequest, request
from tests.benchmarks.population import group
from tests.benchmarks.processes import Server
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, ratio
from tests.support.pictures import FORM_HEADERS, File, encoded, form, picture
from tests.support.population import Member

# As a phone's app sends one: 3 megapixels.
SIZE = (2048, 1536)
UPLOADERS = 4


def taken() -> bytes:
    """The picture: not too easy, since noise is what photographs have."""
    made = picture(*SIZE)
    made.putdata(
        [
            tuple((value + (at * 7919 + channel * 104729) % 31) % 256 for channel, value in enumerate(colour))
            for at, colour in enumerate(made.getdata())
        ]
    )
    return encoded(made, "JPEG", quality=85)


def upload(member: Member, raw: bytes) -> MakeRequest:
    """A member who posts that picture again and again."""
    headers = {**FORM_HEADERS, **member.headers()}
    return cohort.same(request("POST", cohort.FEED, headers, form(File.of("JPEG", raw), content="Look!")))


def ours(bench: Bench, stack: ExitStack) -> Measure:
    members = group(bench, "uploaders", trainees=UPLOADERS, posts=10).trainees
    raw = taken()
    loop = cohort.loop(cohort.start(bench, stack), [upload(member, raw) for member in members], stack)
    loop.run(bench.seconds(1))
    return lambda: loop.run(bench.seconds(5)).figures()


def alone(bench: Bench, stack: ExitStack) -> Measure:
    """On the same core as the server and the process that it starts."""
    path = bench.folder / "picture.jpg"
    path.write_bytes(taken())
    peer = stack.enter_context(Server.peer("pillow_alone", "--picture", str(path)))
    peer.ask("rework 1")
    return lambda: json.loads(peer.ask(f"rework {bench.seconds(5)}"))


WORKS = [
    Work(
        [Side("uploads", ours), Side("Pillow", alone)],
        [
            Row("POST picture: Pillow alone", "/s", Figure("uploads"), Figure("Pillow"), ratio(0.7)),
            Row("POST picture, p99", "ms", Figure("uploads", "p99")),
        ],
    )
]
