"""Handlers that are given a form with an image: taken while it comes, a few at once, refused early.

How a form is read is in ``handlers.forms``; what becomes of the image, in ``community.pictures``.
"""

import asyncio
import re
from typing import Any, ClassVar

from tornado.web import stream_request_body

from community.errors import Busy, DomainError
from community.pictures import Purpose
from handlers.base import ApiHandler
from handlers.bodies import take_all
from handlers.forms import FIELD, ImageForm, is_form
from handlers.json_reader import BadJson, unsupported
from handlers.validation import loaded_by

# A body has 30 s, as everywhere, and a second more for each 64 KiB: half a megabit a second is enough.
BODY_SECONDS, BYTES_A_SECOND = 30.0, 64 * 1024
# Whose body has not come on by so much in so many seconds gives its turn to others: four that stand still would keep
# everybody from uploading. A phone on a bad line sends more than an eighth of a megabit a second.
STALL_SECONDS, STALL_BYTES = 10.0, 160 * 1024


@stream_request_body
class UploadHandler(ApiHandler, declares=False):
    """Takes forms where an endpoint declares one, and JSON as any other handler where it declares a body."""

    purpose: ClassVar[Purpose]

    _form: ImageForm | None = None
    _has_upload = False
    _is_gone = False
    _came_bytes = 0
    _watch: asyncio.TimerHandle | None = None

    def initialize(self, **options: Any) -> None:  # type: ignore[override]
        super().initialize(**options)
        self._raw = bytearray()

    async def prepare(self) -> None:
        await super().prepare()
        declared = self.endpoints.get(self._method)
        content_type = self.request.headers.get("Content-Type", "")
        if declared is not None and declared.form is not None and is_form(content_type):
            length = self.request.headers.get("Content-Length", "")
            known = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
            self._form = ImageForm(content_type, known, self.purpose)
            if not await self.deps.lifecycle.begin_upload(self.actor.id):
                raise Busy
            self._has_upload = True
            seconds = BODY_SECONDS + self.purpose.max_bytes / BYTES_A_SECOND
            take_all(self.request.connection, seconds=seconds)
            self._watch_it()
        if self._is_gone:
            self.let_go()

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body. An image that must be refused is, at once; nobody waits for the rest of it."""
        if self._form is None:
            self._raw += chunk
            return
        self._came_bytes += len(chunk)
        try:
            self._form.feed(chunk)
        except (DomainError, BadJson) as error:
            self.send_error(400, exc_info=(type(error), error, None))

    def _watch_it(self) -> None:
        self._came_bytes = 0
        self._watch = asyncio.get_running_loop().call_later(STALL_SECONDS, self._look)

    def _look(self) -> None:
        """Go on watching a body that comes on; refuse one that does not."""
        if self._came_bytes >= STALL_BYTES:
            self._watch_it()
        elif not self._finished:
            self.send_error(503, exc_info=(Busy, Busy(), None))

    def _watch_no_more(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def on_connection_close(self) -> None:
        body = self.request._body_future  # noqa: SLF001 - only there it is written whether the body came to its end
        if not body.done():
            # Then no method will be called, and nothing be answered.
            self._is_gone = True
            self.let_go()
        super().on_connection_close()

    def let_go(self) -> None:
        super().let_go()
        self._watch_no_more()
        if self._has_upload:
            self._has_upload = False
            self.deps.lifecycle.end_upload(self.actor.id)

    def load(self) -> dict[str, Any]:
        """Give the form's fields, or the JSON body's, now that all of it is there. Raises ``Invalid``, ``BadJson``."""
        self._watch_no_more()
        if self._form is None and self.endpoint.body is not None:
            return super().load()
        if self._form is None:
            raise unsupported(self.request.headers.get("Content-Type"))
        schema = self.endpoint.form
        if schema is None:
            raise TypeError(f"{self.route} declares no form")
        texts, image = self._form.finish()
        return loaded_by(schema, texts if image is None else {**texts, FIELD: image})

    def read_body(self) -> dict[str, object]:
        if self._form is not None:
            return dict(self._form.said)
        self.request.body = bytes(self._raw)
        return super().read_body()
