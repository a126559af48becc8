"""Exports of one's own data: asked for, made in the background, told of by mail, and fetched by the link in it.

An export is a zip of JSON and pictures. It is written to a file without a name, which a killed process leaves nothing of,
and then kept among the media, where every instance finds it. Which data are whose is in ``store.own_data``.
"""

import asyncio
import logging
import secrets
import uuid
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import BinaryIO

import orjson

from community.actor import Actor
from community.errors import Forbidden, NotFound
from community.present import timestamp
from community.tokens import digest
from config.deps import Deps
from push import letters
from store.audit import AuditDraft, Initiator, user_subject
from store.errors import Gone, StoreUnavailable
from store.exports import ASKED, Export
from store.own_data import KINDS, Kind

log = logging.getLogger("cohort.exports")

FOLDER = "exports"
# Long enough for a weekend; after it a new one may be asked for, and the file is swept up.
GOOD_FOR = timedelta(days=3)
# Seconds between two looks for work; and, after a failure, before the next try: 30 s, 1, 2, 4 minutes.
EVERY_SECONDS, PAUSE = 5, timedelta(seconds=30)
MOST_TRIES = 5
# A claim lasts a minute.
RENEW_SECONDS = 10
# JSON that is compressed at a time, in a thread: some milliseconds. Pictures are read in pieces of the same size.
PIECE_BYTES = 256 * 1024
README = """Your data at Cohort.

Each .json file holds one kind of it, as a list; the pictures are in the folders named in "image". Times are UTC, sums are
in cents. What others wrote is theirs and is not in here: where it belongs to yours, there are its number and its count.
"""


async def ask_export(deps: Deps, actor: Actor, *, origin: str, base_url: str) -> Export:
    """Give one's own export, and have it made where there is none: once accepted, it is made after any crash.

    Its link goes to the account's address and nowhere else. Raises ``Forbidden`` where the account has ended.
    """
    note = AuditDraft(Initiator(actor.id, origin), "export.asked", user_subject(actor.id))
    name = f"{FOLDER}/{uuid.uuid4().hex}.zip"
    try:
        return await deps.store.exports.ask(actor.id, name=name, base_url=base_url, note=note)
    except Gone as error:
        raise Forbidden from error


async def open_export(deps: Deps, *, user_id: int, token: str) -> Export:
    """Give the export that a mailed link opens. Raises ``NotFound``."""
    found = await deps.store.exports.opened(user_id, digest(token))
    if found is None or found.size_bytes is None:
        raise NotFound
    return found


async def keep_exporting(deps: Deps) -> None:
    """Make what is asked for, one after the other, on whichever instance comes first. Ends when cancelled."""
    while True:
        try:
            worked = await work_once(deps)
        except StoreUnavailable as error:
            log.warning("exports: the database did not answer: %s", error)
            worked = False
        if not worked:
            await asyncio.sleep(EVERY_SECONDS)


async def work_once(deps: Deps) -> bool:
    """Make one export, if one is to be made, and tell its owner. False where there is nothing to do."""
    export = await deps.store.exports.claim()
    if export is None:
        return False
    try:
        if export.state == ASKED:
            export = await _make(deps, export)
        await _tell(deps, export)
    except Gone:
        # Somebody else has it, or nobody wants it any more: then its file must not stay.
        if not await deps.store.exports.names([export.name]):
            await deps.media.delete([export.name])
    except (StoreUnavailable, OSError) as error:
        log.warning("an export failed: %s", type(error).__name__)
        await _try_later(deps, export)
    return True


async def _try_later(deps: Deps, export: Export) -> None:
    now = deps.clock.now()
    try:
        if export.tries < MOST_TRIES:
            await deps.store.exports.again(export, now + PAUSE * 2 ** (export.tries - 1))
        else:
            log.warning("an export was given up after %d tries", export.tries)
            await deps.store.exports.fail(export, expires_at=now + timedelta(hours=1))
    except Gone:
        pass


async def _make(deps: Deps, export: Export) -> Export:
    folder = deps.settings.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        await _Writer(deps, export, file).write()
        size = file.tell()
        file.seek(0)
        await deps.media.put_file(export.name, file)
    return await deps.store.exports.made(export, size_bytes=size, expires_at=deps.clock.now() + GOOD_FOR)


async def _tell(deps: Deps, export: Export) -> None:
    """Mail the link. A crash after that mails another one: both work."""
    user = await deps.store.users.get(export.user_id)
    if user is None or export.expires_at is None:
        raise Gone("user")
    token = secrets.token_urlsafe(32)
    await deps.store.exports.add_link(export, digest(token))
    base_url = deps.settings.public_url or export.base_url
    link = f"{base_url}/api/users/export/download/?uid={user.id}&token={token}"
    letter = letters.export_ready(
        to=user.email, first_name=user.first_name, link=link, valid_days=GOOD_FOR.days
    )
    if not await deps.push.send(letter):
        await _try_later(deps, export)
        return
    await deps.store.exports.ready(export)


class _Writer:
    """Writes one export into a file: row by row from the database, piece by piece into the zip."""

    def __init__(self, deps: Deps, export: Export, file: BinaryIO) -> None:
        self._deps = deps
        self._export = export
        self._file = file
        self._renewed = deps.clock.monotonic()

    async def write(self) -> None:
        """Raises ``Gone`` when the claim is lost, ``StoreUnavailable``, ``OSError``."""
        data = self._deps.store.own_data
        with zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("README.txt", README)
            for kind in KINDS:
                await self._write_entry(archive, f"{kind.name}.json", self._json(kind), zipfile.ZIP_DEFLATED)
            async for name in data.images(self._export.user_id):
                if await self._deps.media.size(name) is not None:
                    # It is as small as it gets.
                    await self._write_entry(archive, name, self._picture(name), zipfile.ZIP_STORED)

    async def _write_entry(
        self, archive: zipfile.ZipFile, name: str, pieces: AsyncIterator[bytes], compress_type: int
    ) -> None:
        entry = zipfile.ZipInfo(name, self._deps.clock.now().timetuple()[:6])
        entry.compress_type = compress_type
        with archive.open(entry, "w", force_zip64=True) as out:
            async for piece in pieces:
                await asyncio.to_thread(out.write, piece)
                now = self._deps.clock.monotonic()
                if now - self._renewed >= RENEW_SECONDS:
                    self._renewed = now
                    await self._deps.store.exports.renew(self._export)

    async def _json(self, kind: Kind) -> AsyncIterator[bytes]:
        """A list of one kind, in pieces."""
        piece, before = bytearray(b"["), b"\n"
        async for document in self._deps.store.own_data.rows(kind, self._export.user_id):
            piece += before + orjson.dumps(_shown(document))
            before = b",\n"
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece) + b"\n]\n"

    async def _picture(self, name: str) -> AsyncIterator[bytes]:
        first = 0
        while piece := await self._deps.media.read(name, first, PIECE_BYTES):
            yield piece
            first += len(piece)


def _shown(value: object, name: str = "") -> object:
    """A document as its owner reads it: times as text, logs as the JSON they are, pictures by their files' names."""
    if isinstance(value, datetime):
        return timestamp(value)
    if name in {"workout_data", "nutrition_data"} and isinstance(value, str):
        return orjson.Fragment(value)
    if name == "image" and isinstance(value, dict):
        return f"{value['key']}{value['extension']}"
    if isinstance(value, dict):
        return {("id" if key == "_id" else key): _shown(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return value
