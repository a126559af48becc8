"""Pictures on their way in: taken, refused early, cut short, and made harmless.

How they are shown and served is in ``test_images``.
"""

import asyncio
import logging
import re

import pytest
from PIL import Image
from tornado.httpserver import HTTPServer

from config.deps import Deps
from config.lifecycle import UPLOADS_AT_ONCE, UPLOADS_OF_USER
from handlers import uploads
from tests.support.groups import Groups, Person
from tests.support.http_connection import HttpConnection
from tests.support.pictures import (
    BOUNDARY,
    FORM_HEADERS,
    FORM_TYPE,
    SECRET,
    File,
    encoded,
    form,
    hostile,
    picture,
    png,
    private,
)
from tests.support.uploads import FEED, files, image_post, jpeg, shown, upload

TOO_LARGE = {"image": ["Image must be under 5MB."]}
BAD_FORMAT = {"image": ["Invalid image format. Use JPEG, PNG, or WebP."]}
BAD_DIMENSIONS = {"image": ["Image dimensions too large."]}
MIB = 1024 * 1024
# One of each kind but the largest, which take seconds; the scenario `images` sends 500.
HOSTILE_PICTURES = 12


async def test_s20_image_is_refused_when_it_is_too_large_before_it_has_come(
    groups: Groups, http_server: tuple[HTTPServer, int]
) -> None:
    trainer = await groups.trainer()
    exact = File.of("JPEG", encoded(picture(), "JPEG").ljust(5 * MIB, b"\0"))
    assert (await upload(trainer, exact)).status == 201
    over = await upload(trainer, File.of("JPEG", exact.content + b"\0"))
    assert (over.status, over.json) == (400, TOO_LARGE)
    # By its length alone: not one byte of the body is sent.
    reader, writer = await asyncio.open_connection("127.0.0.1", http_server[1])
    writer.write(head(trainer, f"Content-Length: {10**15}"))
    assert b"Image must be under 5MB." in await answer_on(reader)
    writer.close()


@pytest.mark.parametrize("piece", [1000, 65_536])
async def test_s20_image_is_refused_in_the_middle_when_it_comes_in_chunks(
    groups: Groups, http_server: tuple[HTTPServer, int], piece: int
) -> None:
    trainer = await groups.trainer()
    reader, writer = await asyncio.open_connection("127.0.0.1", http_server[1])
    writer.write(head(trainer, "Transfer-Encoding: chunked"))
    start = form(jpeg()).partition(b"\xff\xd8\xff")
    writer.write(chunk(start[0] + start[1] + bytes(100)))
    answer = asyncio.create_task(answer_on(reader))
    sent = 0
    while not answer.done():
        writer.write(chunk(bytes(piece)))
        await writer.drain()
        await asyncio.sleep(0)
        sent += piece
        assert sent < 12 * MIB, "refused long before"
    assert b"Image must be under 5MB." in await answer
    writer.close()


async def test_s20_client_that_sends_everything_first_reads_the_refusal(groups: Groups) -> None:
    trainer = await groups.trainer()
    huge = File.of("JPEG", encoded(picture(), "JPEG").ljust(12 * MIB, b"\0"))
    answer = await upload(trainer, huge)
    assert (answer.status, answer.json) == (400, TOO_LARGE)
    body = await trainer.api.send("POST", FEED, raw=b'{"content": "' + b"x" * 9 * MIB, token=trainer.token)
    assert (body.status, body.json["code"]) == (413, "request_too_large")
    other = await trainer.api.send("POST", "/api/auth/jwt/create/", raw=b'{"email": "' + b"x" * 9 * MIB)
    assert (other.status, other.json["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "too early"),
        (form(jpeg())[:-20], "too early"),
        (b"x" * 100, ""),
        (form(None, content="a") + form(None, content="b"), None),
        (form(None, **{f"f{number}": "x" for number in range(11)}), "segment count"),
        (form(None, content="a\0b"), "NUL"),
        (form(None, content="a").replace(b"\r\na\r\n", b"\r\n\xff\r\n"), "UTF-8"),
        (
            form(None, content="a").removesuffix(f"--{BOUNDARY}--\r\n".encode()) + form(None, content="b"),
            "repeated",
        ),
    ],
)
async def test_s20_form_is_refused_when_it_is_none(groups: Groups, raw: bytes, says: str | None) -> None:
    trainer = await groups.trainer()
    answer = await trainer.api.send("POST", FEED, raw=raw, headers=FORM_HEADERS, token=trainer.token)
    if says is None:
        assert answer.status == 201  # what comes after the end does not count
        return
    assert (answer.status, answer.json["code"]) == (400, "parse_error")
    assert says in answer.json["detail"]


async def test_s20_form_is_refused_by_field_when_it_holds_what_it_should_not(
    groups: Groups, deps: Deps
) -> None:
    trainer = await groups.trainer()
    unknown = await upload(trainer, jpeg(), colour="red")
    assert (unknown.status, unknown.json) == (400, {"colour": ["Unknown field."]})
    raw = form(jpeg(), field="photo")
    elsewhere = await trainer.api.send("POST", FEED, raw=raw, headers=FORM_HEADERS, token=trainer.token)
    assert (elsewhere.status, elsewhere.json) == (400, {"photo": ["Unknown field."]})
    text = await upload(trainer, None, image="x")
    assert (text.status, list(text.json)) == (400, ["image"])
    long = await upload(trainer, None, content="x" * 70_000)
    assert long.status == 413
    no_boundary = await trainer.api.send(
        "POST", FEED, raw=b"x", headers={"Content-Type": "multipart/form-data"}, token=trainer.token
    )
    assert (no_boundary.status, no_boundary.json["code"]) == (400, "parse_error")
    assert files(deps) == []


async def test_s20_uploads_wait_for_a_turn_and_too_many_of_one_person_are_refused(
    groups: Groups, deps: Deps
) -> None:
    trainer, trainee = await groups.group(1)
    for _ in range(UPLOADS_OF_USER):
        assert await deps.lifecycle.begin_upload(trainer.id)
    refused = await upload(trainer, jpeg())
    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "busy", "1")
    for number in range(UPLOADS_AT_ONCE - UPLOADS_OF_USER):
        assert await deps.lifecycle.begin_upload(-number)
    waiting = asyncio.create_task(upload(trainee, jpeg()))
    assert (await trainee.post(FEED, {"content": "Words wait for nobody."})).status == 201
    assert not waiting.done()
    deps.lifecycle.end_upload(trainer.id)
    assert (await waiting).status == 201


async def test_s20_uploads_that_stand_still_give_their_turns_to_others(
    groups: Groups, deps: Deps, http_server: tuple[HTTPServer, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.5)
    trainer, *trainees = await groups.group(UPLOADS_AT_ONCE)
    whole = form(jpeg(500, 500))
    writers = []
    for person in trainees:
        reader, writer = await asyncio.open_connection("127.0.0.1", http_server[1])
        writer.write(head(person, f"Content-Length: {len(whole)}") + whole[:100])
        writers.append(writer)
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    assert (await upload(trainer, jpeg())).status == 201
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def test_s20_upload_that_breaks_off_leaves_nothing(
    groups: Groups, deps: Deps, http_server: tuple[HTTPServer, int]
) -> None:
    trainer = await groups.trainer()
    whole = form(jpeg(500, 500))
    for cut in range(0, len(whole), len(whole) // 8):
        _, writer = await asyncio.open_connection("127.0.0.1", http_server[1])
        writer.write(head(trainer, f"Content-Length: {len(whole)}") + whole[:cut])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    # All turns are free again, and no request is owed an answer.
    assert (await upload(trainer, jpeg())).status == 201
    assert await deps.lifecycle.idle(10) == 0
    assert len(files(deps)) == 1


@pytest.mark.parametrize(
    "file",
    [
        File("a.gif", "image/jpeg", encoded(picture(), "JPEG")),
        File("a.jpg", "image/gif", encoded(picture(), "JPEG")),
        File("a", "image/jpeg", encoded(picture(), "JPEG")),
        File("a.png", "image/jpeg", encoded(picture(), "JPEG")),
        File("a.jpg", "image/jpeg", encoded(picture(), "PNG")),
        File("a.webp", "image/webp", encoded(picture(), "GIF")),
        File("a.jpg", "image/jpeg", b""),
        File("a.jpg", "image/jpeg", b"\xff\xd8\xff"),
        File("a.jpg", "image/jpeg", encoded(picture(), "JPEG")[:-300]),
        File("a.svg", "image/svg+xml", b"<svg/>"),
    ],
)
async def test_s21_image_is_refused_when_name_type_and_content_disagree(groups: Groups, file: File) -> None:
    answer = await upload(await groups.trainer(), file)
    assert (answer.status, answer.json) == (400, BAD_FORMAT)


async def test_s21_image_is_refused_by_its_header_when_it_has_too_many_pixels(
    groups: Groups, deps: Deps
) -> None:
    trainer = await groups.trainer()
    for width, height in ((4097, 1), (1, 4097), (2**31 - 1, 2**31 - 1), (30_000, 30_000)):
        answer = await upload(trainer, File.of("PNG", png(width, height, b"")))
        assert (answer.status, answer.json) == (400, BAD_DIMENSIONS)
    assert (await upload(trainer, File.of("PNG", png(4096, 1, bytes(1 + 3 * 4096))))).status == 201
    assert len(files(deps)) == 4


async def test_s21_first_frame_is_kept_of_an_animation(groups: Groups) -> None:
    trainer = await groups.trainer()
    for kind in ("PNG", "WEBP"):
        frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue", "lime")]
        raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)
        post = await image_post(trainer, File.of(kind, raw))
        found = shown(await groups.api.get(post["image_url"]))
        assert getattr(found, "n_frames", 1) == 1
        assert found.convert("RGB").getpixel((5, 5))[0] > 200


async def test_s21_hostile_image_is_refused_or_made_harmless(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    taken = 0
    for number in range(HOSTILE_PICTURES):
        name, file = hostile(1, number)
        answer = await upload(trainer, file)
        assert answer.status in {201, 400}, (name, answer.body)
        taken += answer.status == 201
    kept = [(deps.settings.data_dir / "media" / name).read_bytes() for name in files(deps)]
    assert len({name[:48] for name in files(deps)}) == taken
    assert 0 < taken < HOSTILE_PICTURES
    assert not any(SECRET in each for each in kept)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_s22_nothing_of_the_upload_but_pixels_survives(groups: Groups, kind: str) -> None:
    trainer = await groups.trainer()
    tail = b"PK\x03\x04" + SECRET + b"<script>alert(1)</script>"
    post = await image_post(trainer, File.of(kind, encoded(picture(400, 300), kind) + tail))
    for url in (post["image_url"], *(each["url"] for each in post["image_variants"])):
        answer = await groups.api.get(url)
        assert b"script" not in answer.body
        assert SECRET not in answer.body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_s23_orientation_is_applied_and_all_metadata_dropped(groups: Groups, kind: str) -> None:
    trainer = await groups.trainer()
    for orientation in range(1, 9):
        await check_orientation(trainer, kind, orientation)


async def check_orientation(trainer: Person, kind: str, orientation: int) -> None:
    post = await image_post(trainer, File.of(kind, private(kind, orientation=orientation, size=(400, 200))))
    turned = orientation >= 5
    assert (post["image_width"], post["image_height"]) == ((200, 400) if turned else (400, 200))
    answer = await trainer.api.get(post["image_url"])
    assert SECRET not in answer.body
    found = shown(answer)
    assert not found.getexif()
    assert not set(found.info) & {"exif", "xmp", "icc_profile", "comment", "photoshop", "Comment", "Where"}
    # Where the red corner, top left in the file, belongs (EXIF 2.3, 4.6.4 A).
    x, y = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[
        orientation
    ]
    red, green, blue = found.convert("RGB").getpixel(
        (10 + x * (found.width - 20), 10 + y * (found.height - 20))
    )
    assert (red > 200, green < 60, blue < 60) == (True, True, True)


async def test_post_is_refused_when_the_media_cannot_be_written(
    groups: Groups, deps: Deps, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = await groups.trainer()
    deps.settings.data_dir.joinpath("media").write_text("a file where the folder belongs")
    with caplog.at_level(logging.WARNING):
        answer = await upload(trainer, jpeg())
    assert (answer.status, answer.json["code"]) == (503, "service_unavailable")
    assert await trainer.feed() == []


async def test_connection_is_used_again_after_an_upload(
    groups: Groups, http_server: tuple[HTTPServer, int]
) -> None:
    trainer = await groups.trainer()
    connection = HttpConnection(("127.0.0.1", http_server[1]))
    headers = {"Authorization": f"Bearer {trainer.token}"}
    answer = await connection.send("POST", FEED, {"content": "As before."}, headers=headers)
    assert answer.status == 201
    assert "connection" not in answer.headers
    connection.close()


def head(by: Person, framing: str) -> bytes:
    """The head of an upload."""
    lines = [
        f"POST {FEED} HTTP/1.1",
        "Host: x",
        f"Content-Type: {FORM_TYPE}",
        f"Authorization: Bearer {by.token}",
    ]
    return "\r\n".join([*lines, framing, "", ""]).encode()


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


async def answer_on(reader: asyncio.StreamReader) -> bytes:
    """The head and the body of the answer on a connection."""
    start = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    length = re.search(rb"(?i)content-length: (\d+)", start)
    assert length is not None
    return start + await reader.readexactly(int(length[1]))
