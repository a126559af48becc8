"""A phone, as the live feed's rules describe one: it loads by REST, reads frames, keeps a position.

Whether what it shows is right is judged by the tests.
"""

import json
from typing import Any

Shown = dict[int, dict[str, Any]]


class FeedClient:
    """``posts`` is what the phone shows, each with its ``comments`` by id; ``seqs`` the facts it was told."""

    def __init__(self) -> None:
        self.posts: Shown = {}
        self.position = ""
        self.start = 0
        self.seqs: set[int] = set()
        self.recovered: bool | None = None
        self.wants_reload = False
        self._versions: dict[int, int] = {}
        self._last_seq = 0
        self._meanwhile: list[dict[str, Any]] | None = None

    def begin_load(self) -> None:
        """Keep what comes from here on: what is being loaded may be older than it."""
        self._meanwhile = []

    def load(self, posts: Shown, position: str) -> None:
        """Show what REST answered, stand at the position that came with it, and go on with what came meanwhile."""
        self.posts = posts
        self.position = position
        self.start = self._last_seq = seq_of(position)
        self.seqs = set()
        self._versions.clear()
        self.wants_reload = False
        frames, self._meanwhile = self._meanwhile or [], None
        for frame in frames:
            if frame.get("seq", self.start + 1) > self.start:
                self.take(frame)

    def take(self, frame: dict[str, Any]) -> None:
        """Do what the protocol asks of a client with a frame."""
        kind = frame["type"]
        if self._meanwhile is not None:
            self._meanwhile.append(frame)
            return
        if kind == "connected":
            self.recovered = frame["recovered"]
        elif kind == "resync":
            self.wants_reload = True
        elif kind == "reaction_update":
            self._take_level(frame)
        elif "seq" in frame:
            self._take_fact(frame)
        if "position" in frame and kind != "connected":
            self.position = frame["position"]

    def _take_level(self, frame: dict[str, Any]) -> None:
        post_id = frame["post_id"]
        if post_id in self.posts and frame["version"] > self._versions.get(post_id, 0):
            self._versions[post_id] = frame["version"]
            self.posts[post_id]["reactions"] = frame["reactions"]

    def _take_fact(self, frame: dict[str, Any]) -> None:
        seq = frame["seq"]
        assert seq not in self.seqs, f"fact {seq} came twice"
        assert seq > self._last_seq, f"fact {seq} came after {self._last_seq}"
        self._last_seq = seq
        self.seqs.add(seq)
        if frame["type"] == "new_post":
            post = frame["post"]
            self.posts.setdefault(post["id"], {**post, "comments": {}})
        elif frame["type"] == "post_deleted":
            self.posts.pop(frame["post_id"], None)
        elif frame["type"] in {"new_comment", "comment_deleted"} and frame["post_id"] in self.posts:
            post = self.posts[frame["post_id"]]
            post["comment_count"] = frame["comment_count"]
            if frame["type"] == "new_comment":
                post["comments"].setdefault(frame["comment"]["id"], frame["comment"])
            else:
                post["comments"].pop(frame["comment_id"], None)


def seq_of(position: str) -> int:
    return int(position.split(".")[1])


def payloads(received: bytes) -> tuple[list[dict[str, Any]], int]:
    """Give the whole text frames in ``received`` as JSON, and how many bytes they took; a cut one stays."""
    found, at = [], 0
    while len(received) - at >= 2:
        size, start = received[at + 1], at + 2
        if size >= 126:
            length = 2 if size == 126 else 8
            size, start = int.from_bytes(received[start : start + length]), start + length
        if start + size > len(received):
            break
        if received[at] & 0x0F == 1:
            found.append(json.loads(received[start : start + size]))
        at = start + size
    return found, at
