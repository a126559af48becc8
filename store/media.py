"""Bytes of media: pictures under names that nobody can guess, in files here, or (``store.media_s3``) in a bucket.

Which picture belongs to what is in the documents of posts and users; nothing here decides what is kept.
"""

import asyncio
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from store.errors import StoreUnavailable

T = TypeVar("T")

# Files are read and written here and nowhere else: a slow disk holds up these, and not the loop.
THREADS = 8
# Of how many names a listing is made known at a time.
LISTED = 1000
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is there: its name, its size, and when it was written."""

    name: str
    size: int
    at: datetime


class Media(ABC):
    """Where media are, reached by blocking calls in threads. Names are ``folder/name``; whoever calls makes sure of that.

    Raises ``StoreUnavailable``, also for what the system says (``failures``).
    """

    def __init__(self, failures: tuple[type[Exception], ...] = ()) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="media")
        self._failures: tuple[type[Exception], ...] = (*failures, OSError)

    async def put(self, name: str, content: bytes) -> None:
        """Keep the bytes under the name; when this returns they survive a crash."""
        await self._run(partial(self._put, name, content))

    async def put_file(self, name: str, file: BinaryIO) -> None:
        """As ``put``, with all that comes of an open file from where it stands; a piece of it at a time in memory."""
        await self._run(partial(self._put_file, name, file))

    async def size(self, name: str) -> int | None:
        """How many bytes are kept under the name; None for none."""
        return await self._run(partial(self._size, name))

    async def read(self, name: str, first: int, count: int) -> bytes | None:
        """Give at most ``count`` bytes from ``first`` on; None where there is nothing of that name (any more)."""
        return await self._run(partial(self._read, name, first, count))

    async def delete(self, names: Iterable[str]) -> None:
        """Keep nothing under these names any more; unknown ones are fine."""
        await self._run(partial(self._delete, list(names)))

    async def listed(self) -> AsyncIterator[list[Stored]]:
        """Give all there is, in no order, a page at a time. What comes or goes meanwhile may be there or not."""
        found = self._list()
        while page := await self._run(lambda: list(islice(found, LISTED))):
            yield page

    async def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except self._failures as error:
            raise StoreUnavailable(f"media: {error}") from error

    def _put(self, name: str, content: bytes) -> None:
        self._put_file(name, BytesIO(content))

    @abstractmethod
    def _put_file(self, name: str, file: BinaryIO) -> None: ...
    @abstractmethod
    def _size(self, name: str) -> int | None: ...
    @abstractmethod
    def _read(self, name: str, first: int, count: int) -> bytes | None: ...
    @abstractmethod
    def _delete(self, names: list[str]) -> None: ...
    @abstractmethod
    def _list(self) -> Iterator[Stored]: ...


class FileMedia(Media):
    """Files below a directory, which all instances must share where there are several."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def _put_file(self, name: str, file: BinaryIO) -> None:
        """Under its name there is all of it or nothing, whenever the machine stops."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{secrets.token_hex(8)}{PARTIAL}")
        try:
            with fresh.open("xb") as kept:
                shutil.copyfileobj(file, kept)
                kept.flush()
                os.fsync(kept.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        # The name itself is on the disk only with its directory.
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _size(self, name: str) -> int | None:
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return None

    def _read(self, name: str, first: int, count: int) -> bytes | None:
        try:
            with (self._root / name).open("rb") as file:
                file.seek(first)
                return file.read(count)
        except FileNotFoundError:
            return None

    def _delete(self, names: list[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def _list(self) -> Iterator[Stored]:
        folders = [path for path in self._root.iterdir() if path.is_dir()] if self._root.is_dir() else []
        for folder in folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        found = entry.stat()
                        at = datetime.fromtimestamp(found.st_mtime, UTC)
                        yield Stored(f"{folder.name}/{entry.name}", found.st_size, at)
