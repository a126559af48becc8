"""What the Stripe double knows: an append-only ledger on disk, which its restart reads again.

How it is asked, and how it fails, is in `stripe_double`.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Object = dict[str, Any]

# Stripe forgets an idempotency key when it is at least a day old.
KEYS_KEPT_FOR = timedelta(hours=24)


@dataclass
class Kept:
    """The first answer to a key, and the request it was for."""

    asked: str
    status: int
    body: Object
    at: datetime


@dataclass
class Book:
    """``objects[kind][id]``; each line of the file says which object is from now on what, or what a key was answered."""

    path: Path
    now: Callable[[], datetime]
    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    keys: dict[str, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                self._apply(json.loads(line))

    def put(self, kind: str, thing: Object) -> Object:
        """Keep an object as it is from now on."""
        self._write({"kind": kind, "object": thing})
        return thing

    def keep(self, key: str, asked: str, status: int, body: Object) -> None:
        self._write(
            {"key": key, "asked": asked, "status": status, "body": body, "at": self.now().isoformat()}
        )

    def kept(self, key: str) -> Kept | None:
        """The answer to a key that is not forgotten."""
        found = self.keys.get(key)
        return found if found is not None and self.now() - found.at < KEYS_KEPT_FOR else None

    def all(self, kind: str) -> list[Object]:
        """All objects of a kind, oldest first."""
        return list(self.objects.get(kind, {}).values())

    def get(self, kind: str, name: str) -> Object | None:
        return self.objects.get(kind, {}).get(name)

    @staticmethod
    def new_id(prefix: str) -> str:
        return f"{prefix}_{secrets.token_hex(8)}"

    def _write(self, line: Object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._apply(line)

    def _apply(self, line: Object) -> None:
        if "key" in line:
            self.keys[line["key"]] = Kept(
                line["asked"], line["status"], line["body"], datetime.fromisoformat(line["at"])
            )
        else:
            self.objects.setdefault(line["kind"], {})[line["object"]["id"]] = line["object"]
