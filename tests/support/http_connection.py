"""A keep-alive HTTP connection that costs little, for load from inside an event loop.

It understands what this server answers: a status, headers, a body with its length. Retries are its users' business.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

Address = tuple[str, int]

# Phones give up after this.
ANSWER_SECONDS = 30.0
BODILESS = frozenset({204, 304})
HEAD_END = b"\r\n\r\n"
# An answer's head and body are read through one buffer; pages of the feed have tens of kilobytes.
BUFFER_BYTES = 1 << 20


class NoAnswer(ConnectionError):
    """The connection was refused, or ended or fell silent before the answer was whole: nobody knows what happened."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def request_bytes(method: str, path: str, headers: Mapping[str, str], body: object = None) -> bytes:
    """One HTTP/1.1 request; a body is written as JSON, or as it is where it is bytes (their type is in the headers)."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    if body is not None or method not in {"GET", "DELETE"}:
        lines += [] if isinstance(body, bytes) else ["Content-Type: application/json"]
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + HEAD_END + content


class HttpConnection:
    """Connects when there is something to send, and again after a failure. One request at a time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> HttpAnswer:
        """Give the answer, whatever its status. Raises ``NoAnswer``."""
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # The server had enough of waiting for this request.
        try:
            async with asyncio.timeout(timeout_seconds):
                reader, writer = self._streams or await self._connect()
                writer.write(request_bytes(method, path, headers or {}, body))
                answer = await _read_answer(reader, has_body=method != "HEAD")
        except (OSError, EOFError, ValueError, KeyError) as error:  # A time-out is an OSError.
            self.close()
            raise NoAnswer(f"{method} {path}: {error!r}") from error
        except BaseException:
            self.close()  # The answer to a cancelled request must not become the next one's.
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].close()
            self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection(*self.address, limit=BUFFER_BYTES)
        return self._streams


async def _read_answer(reader: asyncio.StreamReader, *, has_body: bool = True) -> HttpAnswer:
    head = (await reader.readuntil(HEAD_END)).decode("latin-1")
    lines = head[: -len(HEAD_END)].split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers["content-length"]) if has_body and status not in BODILESS else 0
    return HttpAnswer(status, headers, await reader.readexactly(length) if length else b"")
