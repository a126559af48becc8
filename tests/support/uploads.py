"""Uploads of pictures as people make them, and what became of them.

The pictures themselves are in ``pictures``.
"""

import io
from typing import Any

from PIL import Image

from config.deps import Deps
from tests.support.client import Answer
from tests.support.groups import Person
from tests.support.pictures import (
    FORM_HEADERS,
    File,
    encoded,
    form,
    picture,
)

FEED = "/api/community/feed/"


async def upload(by: Person, file: File | None, path: str = FEED, **texts: str) -> Answer:
    """Send a form as that person."""
    headers = dict(FORM_HEADERS)
    if key := texts.pop("key", ""):
        headers["Idempotency-Key"] = key
    found: Answer = await by.api.send("POST", path, raw=form(file, **texts), headers=headers, token=by.token)
    return found


def jpeg(width: int = 64, height: int = 48, **options: object) -> File:
    return File.of("JPEG", encoded(picture(width, height), "JPEG", **options))


def shown(answer: Answer) -> Image.Image:
    found = Image.open(io.BytesIO(answer.body))
    found.load()
    return found


def files(deps: Deps) -> list[str]:
    """Every file that is kept, by its name."""
    root = deps.settings.data_dir / "media"
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


async def image_post(by: Person, file: File | None = None, content: str = "Look!") -> dict[str, Any]:
    answer = await upload(by, file or jpeg(), content=content)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found
