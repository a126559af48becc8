"""The process that decodes pictures: started when one comes, limited, replaced when it dies."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from community.errors import Busy, Invalid
from community.image_worker import JPEG, MAX_WAITING, PNG, Images, Upload
from tests.support.pictures import encoded, picture
from tests.support.processes import until

GOOD = Upload(JPEG, encoded(picture(400, 300)))
SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")
DIES = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    made = Images()
    yield made
    await made.close()


async def test_process_starts_with_the_first_picture_and_stays(images: Images) -> None:
    assert images.pid is None
    done = await images.rework(GOOD, widths=(320, 640))
    assert (done.width, done.height, list(done.variants)) == (400, 300, [320])
    pid = images.pid
    await images.rework(GOOD, widths=())
    assert images.pid == pid


async def test_process_has_none_of_the_servers_environment(images: Images) -> None:
    await images.rework(GOOD, widths=())
    assert set(psutil.Process(images.pid).environ()) <= {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}


async def test_process_is_replaced_when_it_was_killed(images: Images) -> None:
    await images.rework(GOOD, widths=())
    assert images.pid is not None
    killed = images.pid
    os.kill(killed, signal.SIGKILL)
    assert (await images.rework(GOOD, widths=())).width == 400
    assert images.pid != killed


async def test_s21_picture_that_kills_whoever_decodes_it_is_refused() -> None:
    images = Images(command=DIES)
    with pytest.raises(Invalid) as refused:
        await images.rework(GOOD, widths=())
    assert refused.value.fields == {"image": ["Invalid image format. Use JPEG, PNG, or WebP."]}
    assert images.pid is None


async def test_s21_picture_that_takes_too_long_is_given_up() -> None:
    images = Images(command=SLEEPS, limit_seconds=0.05)
    with pytest.raises(Busy):
        await images.rework(GOOD, widths=())
    assert images.pid is None


async def test_s21_too_many_pictures_at_once_are_refused() -> None:
    images = Images(command=SLEEPS)
    waiting = [asyncio.create_task(images.rework(GOOD, widths=())) for _ in range(MAX_WAITING)]
    await until(lambda: images.pid, what="a start")
    with pytest.raises(Busy):
        await images.rework(GOOD, widths=())
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert images.pid is None


async def test_s21_picture_of_another_format_than_it_says_is_refused(images: Images) -> None:
    with pytest.raises(Invalid):
        await images.rework(Upload(PNG, GOOD.content), widths=())
    assert (await images.rework(GOOD, widths=())).width == 400


async def test_process_ends_when_no_picture_comes() -> None:
    images = Images(idle_seconds=0)
    await images.rework(GOOD, widths=())
    await until(lambda: images.pid is None, what="the end")
    assert (await images.rework(GOOD, widths=())).width == 400
    await images.close()
