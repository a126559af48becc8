"""The process that decodes pictures, as the server sees it: started when one comes, limited, ended when none do.

What is done to a picture is in ``community.images``, which runs in that process alone: bytes from strangers reach
decoders written in C there, and may crash them, hold them up or fill the memory, but not the server's.
"""

import asyncio
import logging
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from community.errors import Busy, Invalid

log = logging.getLogger("cohort.images")

ROOT = Path(__file__).parents[1]
MAIN = ("-m", "community.images")
# The largest pictures take 2 to 5 s on one slow core; whatever takes longer is up to no good.
LIMIT_SECONDS = 20.0
# As many as are uploaded at once, and as many more from scripts.
MAX_WAITING = 8
# Starting takes 0.2 s, being there 35 MiB.
IDLE_SECONDS = 60.0
LENGTH = struct.Struct(">I")

BAD_FORMAT = "Invalid image format. Use JPEG, PNG, or WebP."
BAD_DIMENSIONS = "Image dimensions too large."
REFUSALS = {"format": BAD_FORMAT, "dimensions": BAD_DIMENSIONS}


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is taken: how it is named, and how it begins."""

    name: str
    extension: str
    media_types: frozenset[str]
    extensions: frozenset[str]


JPEG = Format(
    "JPEG", ".jpg", frozenset({"image/jpeg", "image/jpg", "image/pjpeg"}), frozenset({".jpg", ".jpeg"})
)
PNG = Format("PNG", ".png", frozenset({"image/png"}), frozenset({".png"}))
WEBP = Format("WEBP", ".webp", frozenset({"image/webp"}), frozenset({".webp"}))
FORMATS = (JPEG, PNG, WEBP)
# So many bytes tell a format.
SIGNATURE_BYTES = 12


def declared_format(filename: str, media_type: str) -> Format | None:
    """Give the format that a file's name and type agree on, or None."""
    extension = Path(filename).suffix.lower()
    for each in FORMATS:
        if media_type in each.media_types and extension in each.extensions:
            return each
    return None


def begins_like(found: Format, start: bytes) -> bool:
    """Whether the first bytes are those of the format. What follows may still be anything."""
    if found is JPEG:
        return start.startswith(b"\xff\xd8\xff")
    if found is PNG:
        return start.startswith(b"\x89PNG\r\n\x1a\n")
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP"


def invalid(message: str) -> Invalid:
    """The refusal of an image, in the contract's words."""
    return Invalid({"image": [message]})


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it came: its format by name, type and first bytes, and all of its bytes."""

    format: Format
    content: bytes


@dataclass(frozen=True, slots=True)
class Reworked:
    """A picture written anew, and its smaller WebP versions by their width."""

    width: int
    height: int
    content: bytes
    variants: Mapping[int, bytes]


class Images:
    """Does one picture at a time, since each may take 300 MiB; others wait for their turn."""

    def __init__(
        self, *, limit_seconds: float = LIMIT_SECONDS, idle_seconds: float = IDLE_SECONDS,
        command: Sequence[str] = (sys.executable, *MAIN),
    ) -> None:  # fmt: skip
        """``command`` is what is run; nothing is before the first picture."""
        self._limit_seconds = limit_seconds
        self._idle_seconds = idle_seconds
        self._command = command
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: asyncio.subprocess.Process | None = None
        self._goodbye: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process that works for this server, if there is one now."""
        return None if self._process is None else self._process.pid

    async def rework(self, upload: Upload, *, widths: Sequence[int], square: bool = False) -> Reworked:
        """Check, decode and write a picture anew, with its smaller versions (see ``community.images.rework``).

        Raises ``Invalid`` for what is no picture of that format, too large in pixels, or kills whoever looks at it;
        ``Busy`` where too many wait or it takes too long.
        """
        if self._waiting >= MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with self._turn:
                return await self._do(upload, widths, square)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._end()

    async def _do(self, upload: Upload, widths: Sequence[int], square: bool) -> Reworked:  # noqa: FBT001 - private
        job = {"kind": upload.format.name, "widths": list(widths), "square": square}
        if self._goodbye is not None:
            self._goodbye.cancel()
        for is_last in (False, True):
            process = self._process or await self._start()
            try:
                async with asyncio.timeout(self._limit_seconds):
                    says, contents = await _ask(process, {**job, "size": len(upload.content)}, upload.content)
            except TimeoutError as error:
                await self._end()
                log.warning("a picture took more than %.0f s and was given up", self._limit_seconds)
                raise Busy from error
            except (OSError, asyncio.IncompleteReadError) as error:
                await self._end()
                # Perhaps it was killed for reasons of its own: another tries again, once.
                if is_last:
                    log.warning("a picture ended the process that looked at it, twice: it is refused")
                    raise invalid(BAD_FORMAT) from error
            except BaseException:
                # Whoever waited is gone; the answer would be taken for the next one's.
                await self._end()
                raise
            else:
                break
        self._goodbye = asyncio.get_running_loop().call_later(self._idle_seconds, self._let_go)
        if "refused" in says:
            raise invalid(REFUSALS[says["refused"]])
        widths_made = [width for width, _ in says["variants"]]
        return Reworked(
            width=says["width"],
            height=says["height"],
            content=contents[0],
            variants=dict(zip(widths_made, contents[1:], strict=True)),
        )

    async def _start(self) -> asyncio.subprocess.Process:
        # Without the server's environment: what a decoder can be talked into cannot tell secrets it does not have.
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self._process

    def _let_go(self) -> None:
        """Tell the process that no more will come; it ends by itself."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()

    async def _end(self) -> None:
        if self._goodbye is not None:
            self._goodbye.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def _ask(
    process: asyncio.subprocess.Process, header: Mapping[str, Any], content: bytes
) -> tuple[dict[str, Any], list[bytes]]:
    """Give the answer to one job. Raises ``OSError`` or ``IncompleteReadError`` where the process ends."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process was started without pipes")
    says = orjson.dumps(header)
    process.stdin.write(LENGTH.pack(len(says)) + says)
    process.stdin.write(content)
    await process.stdin.drain()
    size = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
    answer: dict[str, Any] = orjson.loads(await process.stdout.readexactly(size))
    sizes = [answer["size"], *(each for _, each in answer["variants"])] if "size" in answer else []
    return answer, [await process.stdout.readexactly(each) for each in sizes]
