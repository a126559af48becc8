"""Hashing that is cheap and counted, for tests about how often a password is checked."""

from community.passwords import Hashing


class Watched(Hashing):
    """Hashes that cost a thousandth, and are counted."""

    def __init__(self) -> None:
        super().__init__(memory_kib=16)
        self.hashed = 0
        self.verified = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        self.verified += 1
        return await super().verify(encoded, password)
