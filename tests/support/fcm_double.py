"""A double of FCM and of Google's token endpoint, over real HTTP in a thread: it must not share the server's loop.

It takes messages, or answers as it is told to by device; nothing of Google's is reached.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "cohort-test"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@dataclass(frozen=True)
class Reply:
    """How one message is answered. ``hangs``: not before the double is closed; ``breaks``: the line is cut."""

    status: int = 200
    status_word: str = ""
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    hangs: bool = False
    breaks: bool = False

    def content(self, device: str) -> bytes:
        if self.body is not None:
            return self.body.encode()
        if self.status == 200:
            return json.dumps({"name": f"projects/{PROJECT}/messages/{device}"}).encode()
        details = [{"@type": FCM_ERROR, "errorCode": self.code}] if self.code else []
        # As FCM may: with the token in its words.
        error = {"status": self.status_word, "message": f"no luck with {device}", "details": details}
        return json.dumps({"error": error}).encode()


TAKEN = Reply()
UNREGISTERED = Reply(404, "NOT_FOUND", "UNREGISTERED")
SENDER_ID_MISMATCH = Reply(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH")
QUOTA_EXCEEDED = Reply(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
INTERNAL = Reply(500, "INTERNAL", "INTERNAL")
UNAVAILABLE = Reply(503, "UNAVAILABLE", "UNAVAILABLE")
INVALID = Reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
GARBLED = Reply(body="<html>not JSON")
CUT = Reply(breaks=True)
HANGING = Reply(hangs=True)


@dataclass
class FcmDouble:
    """What it was asked, and how it answers: by device, else by ``default``."""

    base_url: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    default: Reply = TAKEN
    token_status: int = 200
    token_body: str | None = None
    # Each message that came, taken or not, and each access token that was asked for.
    messages: list[dict[str, Any]] = field(default_factory=list)
    tokens_given: int = 0
    # While this is not set, messages that have come wait for their answers.
    opened: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.opened.set()

    def devices(self) -> list[str]:
        """The devices of all messages that came, in their order."""
        return [message["token"] for message in self.messages]

    def account(self, folder: Path) -> Path:
        """Write a service account's file whose tokens come from here, and give its path."""
        path = folder / "service-account.json"
        path.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "project_id": PROJECT,
                    "private_key_id": "1",
                    "private_key": private_key(),
                    "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
                    "client_id": "1",
                    "token_uri": f"{self.base_url}/token",
                }
            )
        )
        return path


@cache
def private_key() -> str:
    """A key of nobody's, made once: it takes some tenths of a second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@contextmanager
def fcm_double() -> Iterator[FcmDouble]:
    """Serve on a free port of this machine; whatever hangs is let go at the end."""
    double = FcmDouble()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/token":
                with double.lock:
                    double.tokens_given += 1
                given = {"access_token": "ya29.a-secret", "expires_in": 3600, "token_type": "Bearer"}
                self._answer(double.token_status, (double.token_body or json.dumps(given)).encode(), {})
            elif re.fullmatch(f"/v1/projects/{PROJECT}/messages:send", self.path):
                self._take(json.loads(content)["message"])
            else:
                self._answer(404, b"{}", {})

        def _take(self, message: dict[str, Any]) -> None:
            device = message["token"]
            with double.lock:
                waiting = double.replies.get(device)
                reply = waiting.pop(0) if waiting else double.default
                double.messages.append(message)
            double.opened.wait()
            if reply.hangs:
                double.closing.wait()
            if reply.breaks or reply.hangs:
                self.close_connection = True
                return
            self._answer(reply.status, reply.content(device), reply.headers)

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    double.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield double
    finally:
        double.opened.set()
        double.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
