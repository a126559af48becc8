"""Pictures that were taken: shown, served, and gone when they are deleted.

What is taken is in ``test_uploads``.
"""

import asyncio
import re
import secrets

import pytest
from tornado.httpclient import AsyncHTTPClient

from config.deps import Deps
from tests.support.client import Api
from tests.support.groups import PASSWORD, Groups
from tests.support.pictures import (
    TYPES,
    File,
    encoded,
    picture,
)
from tests.support.sockets import open_feed
from tests.support.uploads import FEED, files, image_post, jpeg, shown, upload

PROFILE = "/api/users/profiles/image/"
MIB = 1024 * 1024


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_post_shows_its_image_when_one_was_uploaded(groups: Groups, deps: Deps, kind: str) -> None:
    trainer, trainee = await groups.group(1)
    post = await image_post(trainee, File.of(kind, encoded(picture(700, 500), kind)))
    assert (post["content"], post["image_width"], post["image_height"]) == ("Look!", 700, 500)
    assert re.fullmatch(
        re.escape(groups.api.base_url) + r"/media/community_posts/[0-9a-f]{32}\.\w+", post["image_url"]
    )
    assert [(each["width"], each["height"]) for each in post["image_variants"]] == [(320, 229), (640, 457)]
    assert (await trainer.feed())[0] == {**post, "author": post["author"]}
    whole = await groups.api.get(post["image_url"])
    assert (whole.status, whole.headers["Content-Type"]) == (200, TYPES[kind])
    assert (shown(whole).size, shown(whole).format) == ((700, 500), kind)
    for each in post["image_variants"]:
        version = await groups.api.get(each["url"])
        assert version.headers["Content-Type"] == "image/webp"
        assert shown(version).size == (each["width"], each["height"])
    assert len(files(deps)) == 3


async def test_image_may_stand_alone_and_a_form_may_have_none(groups: Groups) -> None:
    trainer = await groups.trainer()
    assert (await image_post(trainer, content="  "))["content"] == ""
    alone = await upload(trainer, jpeg())
    assert (alone.status, alone.json["content"]) == (201, "")
    without = await upload(trainer, None, content="Words.", content_format="markdown")
    assert (without.status, without.json["image_url"], without.json["image_variants"]) == (201, None, [])
    assert without.json["content_format"] == "markdown"
    empty = await upload(trainer, None, content=" ")
    assert (empty.status, empty.json) == (400, {"content": ["This field may not be blank."]})
    long = await upload(trainer, jpeg(), content="x" * 5001)
    assert (long.status, list(long.json)) == (400, ["content"])


async def test_live_event_shows_the_image_with_a_whole_address(groups: Groups, base_url: str) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainer.token) as feed:
        await feed.next()
        post = await image_post(trainee)
        event = (await feed.next())["post"]
    assert event["image_url"].startswith("http://127.0.0.1:")
    assert event["image_url"].endswith(post["image_url"].removeprefix(base_url))
    assert event["image_width"] == post["image_width"]


async def test_same_key_with_the_same_image_posts_once(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    key = secrets.token_hex(8)
    first = await upload(trainer, jpeg(), content="Once.", key=key)
    again = await upload(trainer, jpeg(), content="Once.", key=key)
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await upload(trainer, jpeg(65), content="Once.", key=key)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert len(files(deps)) == 1


async def test_s22_image_is_served_so_that_nothing_in_it_can_run(groups: Groups) -> None:
    post = await image_post(await groups.trainer(), File("x.JPEG", "image/jpeg", encoded(picture(), "JPEG")))
    assert post["image_url"].endswith(".jpg")
    for url in (post["image_url"], f"{post['image_url']}?w=1280"):
        answer = await groups.api.get(url)
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_s25_address_is_all_it_takes_and_ends_with_the_post(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    post = await image_post(trainee, jpeg(700, 500))
    urls = [post["image_url"], *(each["url"] for each in post["image_variants"])]
    names = {re.findall(r"[0-9a-f]{32}", url)[0] for url in urls}
    assert len(names) == 1
    assert [(await groups.api.get(url)).status for url in urls] == [200, 200, 200]
    assert (await trainer.delete(f"{FEED}{post['id']}/")).status == 204
    assert [(await groups.api.get(url)).status for url in urls] == [404, 404, 404]
    assert files(deps) == []


@pytest.mark.parametrize(
    "path",
    [
        "/media/community_posts/../../jwt-secret",
        "/media/community_posts/..%2f..%2fjwt-secret",
        "/media/%2e%2e/jwt-secret",
        "/media/community_posts/%00",
        "/media/community_posts/" + "0" * 32,
        "/media/community_posts/" + "0" * 32 + ".exe",
        "/media/community_posts/" + "0" * 32 + ".jpg",
        "/media/elsewhere/" + "0" * 32 + ".jpg",
        "/media/community_posts/",
    ],
)
async def test_s25_nothing_else_is_ever_served(groups: Groups, deps: Deps, path: str) -> None:
    await image_post(await groups.trainer())
    (deps.settings.data_dir / "jwt-secret").write_text("secret")
    answer = await groups.api.get(path)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_s26_address_in_a_post_is_never_fetched(groups: Groups) -> None:
    asked = 0

    async def ask(*_: object) -> None:
        nonlocal asked
        asked += 1

    listening = await asyncio.start_server(ask, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x.jpg"
    trainer = await groups.trainer()
    assert (await upload(trainer, None, image=url)).status == 400
    assert (await trainer.post(FEED, {"content": "x", "image": url})).status == 400
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>'.encode()
    assert (await upload(trainer, File("a.png", "image/png", svg))).status == 400
    assert (await upload(trainer, None, content=f"![x]({url})", content_format="markdown")).status == 201
    listening.close()
    await listening.wait_closed()
    assert asked == 0


async def test_image_is_served_in_parts_and_from_caches(groups: Groups, http_client: AsyncHTTPClient) -> None:
    post = await image_post(await groups.trainer(), jpeg(300, 200))
    url = post["image_url"]
    whole = await groups.api.get(url)
    size = len(whole.body)
    assert whole.headers["Accept-Ranges"] == "bytes"
    for wanted, first, last in (("0-0", 0, 0), ("10-19", 10, 19), (f"{size - 5}-", size - 5, size - 1),
                                ("-7", size - 7, size - 1), (f"5-{size * 2}", 5, size - 1)):  # fmt: skip
        part = await groups.api.get(url, headers={"Range": f"bytes={wanted}"})
        assert (part.status, part.body) == (206, whole.body[first : last + 1])
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    beyond = await groups.api.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    for odd in ("bytes=-", "bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b"):
        assert (await groups.api.get(url, headers={"Range": odd})).status == 200
    etag = whole.headers["ETag"]
    assert (await groups.api.get(url, headers={"If-None-Match": etag})).status == 304
    assert (await groups.api.get(url, headers={"Range": "bytes=0-0", "If-Range": '"other"'})).status == 200
    head_only = await http_client.fetch(url, method="HEAD")
    assert (head_only.code, head_only.headers["Content-Length"], head_only.body) == (200, str(size), b"")
    wrong = await groups.api.get(f"{url}?w=5")
    assert (wrong.status, list(wrong.json)) == (400, ["w"])


async def test_profile_image_is_shown_wherever_its_person_is(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainee.write()
    assert (await trainer.feed())[0]["author"]["profile_image"] is None
    answer = await upload(trainee, jpeg(800, 400), PROFILE)
    assert answer.status == 200, answer.body
    url = answer.json["profile_image"]
    assert "/media/profile_images/" in url
    assert (await trainee.get("/api/auth/users/me/")).json["profile_image"] == url
    assert (await trainer.feed())[0]["author"]["profile_image"] == url
    assert (await trainer.get(f"{FEED}{post['id']}/")).json["author"]["profile_image"] == url
    assert (await trainer.get("/api/trainer/trainees/")).json["results"][0]["profile_image"] == url
    today = deps.clock.now().date().isoformat()
    logged = await trainee.api.put(
        f"/api/workouts/daily-logs/{today}/", {"workout_data": {"a": 1}}, token=trainee.token
    )
    assert logged.status in {200, 201}
    board = await trainer.get("/api/community/leaderboard/?metric=workout_count&period=weekly")
    assert [entry["profile_image"] for entry in board.json["entries"]] == [url]
    assert shown(await groups.api.get(url)).size == (800, 400)
    for width in (96, 320):
        assert shown(await groups.api.get(f"{url}?w={width}")).size == (width, width)
    # Replaced: the one before is gone at once.
    second = (await upload(trainee, jpeg(50, 50), PROFILE)).json["profile_image"]
    assert (await groups.api.get(url)).status == 404
    assert (await trainer.feed())[0]["author"]["profile_image"] == second
    assert (await trainee.delete(PROFILE)).status == 204
    assert (await trainee.delete(PROFILE)).status == 204
    assert (await groups.api.get(second)).status == 404
    assert (await trainer.feed())[0]["author"]["profile_image"] is None
    assert files(deps) == []


async def test_profile_image_goes_with_its_account_and_a_posts_stays(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    post = await image_post(trainee)
    url = (await upload(trainee, jpeg(), PROFILE)).json["profile_image"]
    answer = await trainee.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    assert answer.status == 204
    assert (await groups.api.get(url)).status == 404
    author = (await trainer.feed())[0]["author"]
    assert (author["last_name"], author["profile_image"]) == ("user", None)
    assert (await groups.api.get(post["image_url"])).status == 200


async def test_profile_image_is_refused_when_it_is_none_or_too_large(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    large = File.of("JPEG", encoded(picture(), "JPEG").ljust(2 * MIB + 1, b"\0"))
    answer = await upload(trainer, large, PROFILE)
    assert (answer.status, answer.json) == (400, {"image": ["Image must be under 2MB."]})
    none = await upload(trainer, None, PROFILE)
    assert (none.status, none.json) == (400, {"image": ["No file was submitted."]})
    as_json = await trainer.post(PROFILE, {"image": "x"})
    assert (as_json.status, as_json.json["code"]) == (415, "unsupported_media_type")
    assert files(deps) == []


async def test_two_profile_images_at_once_leave_one(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    answers = await asyncio.gather(*(upload(trainer, jpeg(64 + n), PROFILE) for n in range(2)))
    assert [answer.status for answer in answers] == [200, 200]
    url = (await trainer.get("/api/auth/users/me/")).json["profile_image"]
    assert [name.rpartition("/")[2] for name in files(deps)] == [url.rpartition("/")[2]]


async def test_api_takes_no_image_from_another_groups_member_into_this_one(api: Api, groups: Groups) -> None:
    alone = await groups.trainee()
    answer = await upload(alone, jpeg())
    assert (answer.status, answer.json["code"]) == (403, "no_group")
