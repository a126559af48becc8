"""Media in files and in a bucket: the same promises, held by the same tests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from config.settings import load_settings
from store.errors import StoreUnavailable
from store.media import LISTED, FileMedia, Media
from store.media_s3 import BucketMedia, open_bucket

NAME, OTHER = "community_posts/a.jpg", "profile_images/b.png"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """A server that speaks like S3, in a thread of its own."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def bucket(s3_url: str, prefix: str) -> BucketMedia:
    settings = load_settings(
        {
            "MEDIA_STORAGE": f"s3://pictures/{prefix}",
            "S3_ENDPOINT_URL": s3_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-central-1",
            "JWT_SECRET": "0123456789abcdef0123456789abcdef",
        }
    )
    return await open_bucket(settings)


@pytest.fixture(params=["files", "bucket"])
async def media(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Media]:
    found: Media
    if request.param == "files":
        found = FileMedia(tmp_path / "media")
    else:
        opened = await bucket(request.getfixturevalue("s3_url"), f"{tmp_path.name}/x")
        place = {"LocationConstraint": "eu-central-1"}
        try:
            await asyncio.to_thread(
                opened._client.create_bucket, Bucket="pictures", CreateBucketConfiguration=place
            )
        except opened._client.exceptions.BucketAlreadyOwnedByYou:
            pass
        found = opened
    yield found
    await found.close()


async def listed(media: Media) -> list[str]:
    return sorted([each.name async for page in media.listed() for each in page])


async def test_bytes_are_kept_until_they_are_deleted(media: Media) -> None:
    assert await media.size(NAME) is None
    assert await media.read(NAME, 0, 10) is None
    assert await listed(media) == []
    await media.put(NAME, b"0123456789")
    await media.put(OTHER, b"other")
    assert await media.size(NAME) == 10
    assert await media.read(NAME, 3, 4) == b"3456"
    assert await media.read(NAME, 8, 100) == b"89"
    assert await listed(media) == [NAME, OTHER]
    await media.put(NAME, b"new")
    assert await media.read(NAME, 0, 100) == b"new"
    await media.delete([NAME, "community_posts/unknown.jpg"])
    assert await media.size(NAME) is None
    assert await listed(media) == [OTHER]


async def test_file_is_kept_from_where_it_stands(media: Media) -> None:
    # More than a part of a bucket's upload.
    content = bytes(range(256)) * 40_000
    with TemporaryFile() as file:
        file.write(b"before" + content)
        file.seek(6)
        await media.put_file(OTHER, file)
    assert await media.size(OTHER) == len(content)
    assert await media.read(OTHER, len(content) - 10, 100) == content[-10:]


async def test_listing_tells_size_and_age_and_has_pages(media: Media) -> None:
    if isinstance(media, FileMedia):
        folder = media._root / "community_posts"
        folder.mkdir(parents=True)
        for number in range(LISTED + 5):
            (folder / f"{number}.jpg").write_bytes(b"x")
    await media.put(NAME, b"0123456789")
    pages = [page async for page in media.listed()]
    found = {each.name: each for page in pages for each in page}
    assert len(pages) == (2 if isinstance(media, FileMedia) else 1)
    assert found[NAME].size == 10
    assert abs(datetime.now(UTC) - found[NAME].at) < timedelta(minutes=5)


async def test_deleting_nothing_is_fine(media: Media) -> None:
    await media.delete([])


async def test_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    media = FileMedia(tmp_path)
    (tmp_path / "community_posts").mkdir()
    # A directory stands where the file belongs: renaming fails after everything was written.
    (tmp_path / NAME).mkdir()
    with pytest.raises(StoreUnavailable):
        await media.put(NAME, b"0123456789")
    assert [path.name for path in (tmp_path / "community_posts").iterdir()] == ["a.jpg"]
    await media.close()


async def test_bucket_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    away = await bucket("http://127.0.0.1:1", tmp_path.name)
    for attempt in (away.put(NAME, b"x"), away.size(NAME), away.read(NAME, 0, 1), away.delete([NAME])):
        with pytest.raises(StoreUnavailable):
            await attempt
    await away.close()
