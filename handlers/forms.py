"""Forms with an image (``multipart/form-data``), read while they come and refused as soon as something is wrong.

Nothing is ever written to disk: what is kept of a form fits into memory, and is gone with its request.
"""

import hashlib
from collections.abc import Mapping

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from community.errors import Invalid
from community.image_worker import (
    BAD_FORMAT,
    SIGNATURE_BYTES,
    Format,
    Upload,
    begins_like,
    declared_format,
    invalid,
)
from community.pictures import Purpose
from handlers.json_reader import BadJson

MEDIA_TYPE = "multipart/form-data"
FIELD = "image"
# A form of a post has three.
MAX_PARTS = 10
# Of all texts together; a post's 5,000 characters are 20,000 bytes at the most.
MAX_TEXT_BYTES = 64 * 1024
# What stands between the parts.
FRAMING_BYTES = 64 * 1024


def is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


class ImageForm:
    """One form. ``feed`` it as it comes, then ``finish`` it; both raise ``Invalid`` and ``BadJson``."""

    def __init__(self, content_type: str, content_length: int | None, purpose: Purpose) -> None:
        """Raises what a form is refused for that has not even begun."""
        self._purpose = purpose
        self._max_bytes = purpose.max_bytes + MAX_TEXT_BYTES + FRAMING_BYTES
        if content_length is not None and content_length > self._max_bytes:
            raise invalid(purpose.too_large)
        _, options = parse_options_header(content_type)
        boundary = options.get("boundary", "")
        # RFC 2046, 5.1.1.
        if not 1 <= len(boundary) <= 70 or not boundary.isascii():
            raise _refused("the boundary is missing or invalid")
        self._parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS)
        self._received = 0
        self._texts: dict[str, bytearray] = {}
        self._text_bytes = 0
        self._into: bytearray | None = None
        self._format: Format | None = None
        self._image: bytearray | None = None
        self._digest = hashlib.sha256()

    @property
    def said(self) -> Mapping[str, object]:
        """What the form says, the image by its digest."""
        texts = {name: text.decode("utf-8", "replace") for name, text in self._texts.items()}
        if self._image is None or self._format is None:
            return texts
        return {**texts, FIELD: [self._format.name, self._digest.hexdigest()]}

    def feed(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise invalid(self._purpose.too_large)
        try:
            for event in self._parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is not None:
                    self._take(event)
                else:
                    self._end()
        except MultipartError as error:
            raise _refused(str(error).lower()) from error

    def finish(self) -> tuple[dict[str, object], Upload | None]:
        """Give the texts, and the image if there is one."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise _refused("it ends too early") from error
        texts: dict[str, object] = {}
        for name, raw in self._texts.items():
            try:
                texts[name] = raw.decode("utf-8")
            except UnicodeDecodeError:
                raise _refused("a text is not UTF-8") from None
            if b"\0" in raw:
                raise _refused("a text holds a NUL character")
        if self._image is None or self._format is None:
            return texts, None
        return texts, Upload(self._format, bytes(self._image))

    def _begin(self, part: MultipartSegment) -> None:
        name = part.name or ""
        if name in self._texts or (name == FIELD and self._image is not None):
            raise _refused("a name is repeated")
        if part.filename is None:
            if name == FIELD:
                message = "The submitted data was not a file. Check the encoding type on the form."
                raise Invalid({FIELD: [message]})
            self._into = self._texts[name] = bytearray()
            return
        if name != FIELD:
            raise Invalid({name or "non_field_errors": ["Unknown field."]})
        self._format = declared_format(part.filename, (part.content_type or "").lower())
        if self._format is None:
            raise invalid(BAD_FORMAT)
        self._into = self._image = bytearray()

    def _take(self, chunk: bytes) -> None:
        if self._into is None:
            raise _refused("it holds data outside of a part")
        before = len(self._into)
        self._into += chunk
        if self._into is not self._image:
            self._text_bytes += len(chunk)
            if self._text_bytes > MAX_TEXT_BYTES:
                raise BadJson(
                    f"The texts are larger than {MAX_TEXT_BYTES} bytes.", code="request_too_large", status=413
                )
            return
        self._digest.update(chunk)
        if len(self._image) > self._purpose.max_bytes:
            raise invalid(self._purpose.too_large)
        if before < SIGNATURE_BYTES <= len(self._image):
            self._check_signature()

    def _end(self) -> None:
        if self._into is self._image and self._image is not None and len(self._image) < SIGNATURE_BYTES:
            raise invalid(BAD_FORMAT)
        self._into = None

    def _check_signature(self) -> None:
        if self._format is None or self._image is None:
            return
        if not begins_like(self._format, bytes(self._image[:SIGNATURE_BYTES])):
            raise invalid(BAD_FORMAT)


def _refused(reason: str) -> BadJson:
    return BadJson(f"Multipart form parse error - {reason}.")
