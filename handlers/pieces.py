"""Files of the media as answers: whole or the part that is asked for, sent piece by piece.

Who may have which file is decided by the handlers that are made of this.
"""

import re

from community.errors import NotFound
from handlers.base import ApiHandler
from handlers.errors import RangeNotSatisfiable
from store.errors import StoreUnavailable

# Read and sent at a time; most pictures are one.
PIECE_BYTES = 512 * 1024
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


class PiecesHandler(ApiHandler, declares=False):
    def wanted(self, size: int, etag: str = "") -> tuple[int, int]:
        """Give the first and the last byte that are asked for. Raises ``RangeNotSatisfiable``.

        As RFC 9110 allows (14.2), several ranges, or one that cannot be read, mean everything.
        """
        match = RANGE.fullmatch(self.request.headers.get("Range", ""))
        if match is None or not (match[1] or match[2]) or self.request.method == "HEAD":
            return 0, size - 1
        if self.request.headers.get("If-Range", etag) != etag:
            return 0, size - 1
        if match[1]:
            first, last = int(match[1]), min(int(match[2] or size), size - 1)
            if match[2] and int(match[2]) < first:
                return 0, size - 1
        else:
            first, last = max(0, size - int(match[2])), size - 1
        if first > last:
            raise RangeNotSatisfiable(size)
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {first}-{last}/{size}")
        return first, last

    async def send_media(self, name: str, first: int, last: int) -> None:
        """Send the bytes piece by piece, no faster than they are taken."""
        while first <= last:
            try:
                piece = await self.deps.media.read(name, first, min(PIECE_BYTES, last - first + 1))
            except StoreUnavailable:
                piece = None
                if not self._headers_written:
                    raise
            if not piece:
                if not self._headers_written:
                    raise NotFound
                # Deleted while it was sent, or out of reach: the answer has begun, so it can only be cut.
                self.cut()
                return
            first += len(piece)
            self.write(piece)
            await self.flush()
