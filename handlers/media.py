"""Pictures as they are served: by an address that is itself the permission, and with nothing that could run.

Whoever knows an address may look at the picture: 122 random bits stand in it, and it is told to the group alone. Once
the picture is deleted there is nothing at it any more.
"""

import re

from community.errors import Invalid, NotFound
from community.pictures import PURPOSES
from handlers.endpoint import PUBLIC, UNLIMITED, Endpoint, endpoint
from handlers.pieces import PiecesHandler
from handlers.schemas import media as schemas

TAG = "Media"
FOLDERS = frozenset(each.folder for each in PURPOSES)
WIDTHS = sorted({width for each in PURPOSES for width in each.widths})
# Nothing else is ever asked of the storage: no path leads anywhere.
NAME = re.compile(r"(?P<stem>[0-9a-f]{32})(?P<extension>\.jpg|\.png|\.webp)")
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
VERSION = ".webp"


class MediaHandler(PiecesHandler):
    @endpoint(
        Endpoint(
            summary="A picture, or with `w` its smaller version of that width (the picture itself where it is no "
            "wider). The address is the permission to see it.",
            roles=PUBLIC,
            tag=TAG,
            query=schemas.Width(),
            answers={200: None, 206: None},
            errors=(404, 416),
            cached=True,
            headers={"Content-Range": "Which part this is, of how many bytes."},
            media="image/jpeg, image/png, image/webp",
            rate=UNLIMITED,
        )
    )
    async def get(self, folder: str, file: str) -> None:
        name, size = await self._found(folder, file)
        self.set_header("Content-Type", TYPES[name[name.rindex(".") :]])
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        # Under this name there will never be anything else.
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.set_header("Accept-Ranges", "bytes")
        etag = f'"{name.rpartition("/")[2]}"'
        self.set_header("ETag", etag)
        if self.check_etag_header():
            self.set_status(304)
            return
        first, last = self.wanted(size, etag)
        self.set_header("Content-Length", str(last - first + 1))
        if self.request.method != "HEAD":
            await self.send_media(name, first, last)

    async def _found(self, folder: str, file: str) -> tuple[str, int]:
        """Give the name that is meant and how large it is. Raises ``NotFound``, ``Invalid``."""
        match = NAME.fullmatch(file)
        if folder not in FOLDERS or match is None:
            raise NotFound
        names = [f"{folder}/{file}"]
        width = self.get_query_argument("w", None)
        if width is not None:
            if width not in {str(each) for each in WIDTHS}:
                raise Invalid({"w": [f"Must be one of {', '.join(map(str, WIDTHS))}."]})
            names.insert(0, f"{folder}/{match['stem']}.{width}{VERSION}")
        for name in names:
            size = await self.deps.media.size(name)
            if size is not None:
                return name, size
        raise NotFound
