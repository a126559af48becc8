"""Passwords: what is an acceptable one, and hashing in a bounded worker.

Argon2id with the parameters that OWASP names as a minimum (19 MiB, 2 passes, 1 lane: 21 ms here); the loop is
never held up, since the hash lets go of the interpreter lock. Who may set a password is decided elsewhere.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import get_default_parameters

from community.errors import Busy

MIN_LENGTH, MAX_LENGTH = 10, 128
# 19 MiB each: 2 at once take 38 MiB; 64 that wait are 0.7 s of work, about what a person waits.
WORKERS, MAX_WAITING = 2, 64
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1

T = TypeVar("T")


def _load_common() -> frozenset[str]:
    text = (Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


COMMON = _load_common()


def problems(password: str, *, personal: tuple[str, ...] = ()) -> list[str]:
    """Give what is wrong with a password as sentences; none for an acceptable one.

    ``personal`` are words that a guesser would try first: the address and the names.
    """
    if len(password) < MIN_LENGTH:
        return [f"This password is too short. It must contain at least {MIN_LENGTH} characters."]
    if len(password) > MAX_LENGTH:
        return [f"This password is too long. It must contain at most {MAX_LENGTH} characters."]
    plain = password.casefold()
    if plain in COMMON or _core(plain) in COMMON or _is_pattern(plain):
        return ["This password is too common."]
    guessable = {
        word.casefold() for each in personal for word in (each, each.partition("@")[0]) if len(word) > 2
    }
    if plain in guessable or _core(plain) in guessable:
        return ["This password is too similar to your name or e-mail address."]
    return []


def _core(plain: str) -> str:
    """The word that is left without the digits and signs that people hang on to it."""
    return re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)


def _is_pattern(plain: str) -> bool:
    """Few different characters, or one short piece again and again: ``aaaaaaaaaa``, ``abcabcabcabc``."""
    return len(set(plain)) < 4 or re.fullmatch(r"(.{1,4})\1+.{0,3}", plain) is not None


class Hashing:
    """Hashes and verifies in two threads, and refuses with ``Busy`` when too many wait."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB) -> None:
        parameters = get_default_parameters()
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=memory_kib, parallelism=LANES, type=parameters.type
        )
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="hashing")
        self._waiting = 0
        # Verified against when there is no account, so that an unknown address takes the same time.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Give the encoded hash. Raises ``Busy``."""
        return await self._in_worker(partial(self._hasher.hash, password))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether it is that password; ``None`` is nobody's hash and takes as long. Raises ``Busy``."""
        right = await self._in_worker(partial(self._matches, encoded or self._nobody, password))
        return right and encoded is not None

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_worker(self, work: Callable[[], T]) -> T:
        if self._waiting >= WORKERS + MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
