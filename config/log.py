"""Log lines: one a record, in text or JSON, with the request they belong to and without secrets.

What is worth logging is decided where it happens; nothing here filters by content.
"""

import json
import logging
import re
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

# Set by whoever starts a piece of work (a request, a socket) and read by every line logged inside it.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
user_id: ContextVar[int | None] = ContextVar("user_id", default=None)

MASK: Final = "***"
# As ``extra=`` of a record: keep its message as it is. For the development mailer's links alone.
VERBATIM: Final = {"verbatim": True}

# Beside C0 and C1 controls and DEL: line and paragraph separators (a line break to some viewers), marks that turn
# the reading direction around (a forged line looks real), and lone surrogates (no stream can encode them).
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

# A value is quoted (also inside a quoted text, hence the backslashes; to the end where it was cut off), or a list in
# brackets, or bare up to a space, an ampersand or a quote.
_VALUE = r"""(?:(?P<quote>\\*["'])(?:\\.|[^\\])*?(?:(?P=quote)|\Z)|[\[(][^\])]*[\])]?|[^\s&"']+)"""
_FIELD = re.compile(
    r"""(?P<name>(?:password|passwd|tokens?|secrets?|api_?key|(?<![a-z])(?:access|refresh))["'\\]*\s*[=:]\s*)"""
    + _VALUE,
    re.IGNORECASE | re.DOTALL,
)
_HEADER = re.compile(
    r"""(?P<name>authorization["'\\]*\s*[=:,]\s*)(?P<quote>["']?)(?:[a-z]+\s+)?[^\s"']+""",
    re.IGNORECASE,
)
# `bearer.` is how a browser's WebSocket carries its token in Sec-WebSocket-Protocol.
_BEARER = re.compile(r"\b(bearer[\s.]+)[\w.~+/=-]+", re.IGNORECASE)
# A JWT starts with `{"` in base64; what follows may be cut off.
_JWT = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,4}")
_URL_PASSWORD = re.compile(r"(://)[^/\s:@\"']*:[^/\s@\"']+@")

# Libraries that write whole requests, documents or addresses at these levels or below.
_TALKATIVE: Final = {
    "pymongo": logging.INFO,
    "stripe": logging.WARNING,
    "httpx": logging.WARNING,
    "google": logging.WARNING,
    "urllib3": logging.WARNING,
    "requests": logging.WARNING,
    "firebase_admin": logging.WARNING,
}


def configure(level: str, fmt: Literal["text", "json"], stream: TextIO) -> None:
    """Send every record of ``level`` and above to ``stream``, one line each; calling it again replaces the first.

    Raises ``ValueError`` for an unknown level. Handlers that others put on the root logger stay.
    """
    root = logging.getLogger()
    root.setLevel(level)
    for handler in [each for each in root.handlers if isinstance(each, _LineHandler)]:
        root.removeHandler(handler)
    handler = _LineHandler(stream)
    handler.setFormatter(JsonLine() if fmt == "json" else TextLine())
    root.addHandler(handler)
    logging.captureWarnings(True)
    for name, least in _TALKATIVE.items():
        logging.getLogger(name).setLevel(max(root.level, least))


def masked(text: str) -> str:
    """Give the text with passwords, tokens, keys and credentials replaced by stars.

    Masks too much rather than too little: ``token: missing`` loses its second word.
    """
    text = _FIELD.sub(rf"\g<name>{MASK}", text)
    text = _HEADER.sub(rf"\g<name>{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _JWT.sub(MASK, text)
    return _URL_PASSWORD.sub(rf"\1{MASK}@", text)


def escaped(text: str) -> str:
    """Give the text with everything that could break, hide or forge a line written as an escape."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _message(record: logging.LogRecord) -> str:
    """Give the record's message without its secrets, unless it was logged as ``VERBATIM``."""
    message = record.getMessage()
    return message if getattr(record, "verbatim", False) else masked(message)


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if not record.exc_info:
        return None
    return masked(formatter.formatException(record.exc_info))


class TextLine(logging.Formatter):
    """``2026-11-21T09:17:03.123Z WARNING push.outbox [request id] message``, then a traceback in the same line."""

    def format(self, record: logging.LogRecord) -> str:
        origin = request_id.get()
        parts = [
            _time(record),
            record.levelname,
            record.name,
            *([f"[{origin}]"] if origin else []),
            _message(record),
        ]
        traceback = _exception(self, record)
        if traceback:
            parts.append(traceback)
        return escaped(" ".join(parts))


class JsonLine(logging.Formatter):
    """One JSON object: ``time level logger message``, and where known ``request_id user_id exception``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "request_id": request_id.get(),
            "user_id": user_id.get(),
            "exception": _exception(self, record),
        }
        # json writes everything beyond ASCII as an escape, and all controls but DEL.
        known = {name: value for name, value in line.items() if value is not None}
        return json.dumps(known).replace("\x7f", r"\u007f")


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; where one cannot be made, says where it came from instead of printing its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        with suppress(OSError, ValueError):
            self.stream.write(f"{_time(record)} ERROR config.log no line for {record.name}:{record.lineno}\n")
