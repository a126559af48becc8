"""Sets of days as a bit each: how the days that somebody trained are kept and looked at.

A day is a number here, as ``date.toordinal`` gives it. Which days count for what is decided elsewhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# The first four bytes of the stored form are the first day's number; a bit a day follows. A year takes 50 bytes.
HEAD_BITS = 32
HEAD = (1 << HEAD_BITS) - 1


# Not frozen, though nothing changes one: that would make reading those of 5,000 people take twice as long.
@dataclass(slots=True)
class DaySet:
    """Days. Bit ``n`` of ``bits`` is day ``first + n``; bit 0 is set unless the set is empty."""

    first: int = 0
    bits: int = 0

    @classmethod
    def of(cls, days: Iterable[int]) -> "DaySet":
        found = sorted(set(days))
        bits = 0
        for day in found:
            bits |= 1 << (day - found[0])
        return cls(found[0], bits) if found else cls()

    @classmethod
    def decode(cls, raw: bytes | None) -> "DaySet":
        """Give the set that ``encode`` wrote; nothing reads as the empty set."""
        if not raw:
            return cls()
        number = int.from_bytes(raw, "little")
        return cls(number & HEAD, number >> HEAD_BITS)

    def encode(self) -> bytes:
        """Give the one stored form of this set; the empty set has no bytes."""
        if not self.bits:
            return b""
        number = self.bits << HEAD_BITS | self.first
        return number.to_bytes((number.bit_length() + 7) // 8, "little")

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __contains__(self, day: object) -> bool:
        return isinstance(day, int) and day >= self.first and bool(self.bits >> (day - self.first) & 1)

    def __iter__(self) -> Iterator[int]:
        """Walk through the days, the earliest first."""
        rest = self.bits
        while rest:
            lowest = rest & -rest
            yield self.first + lowest.bit_length() - 1
            rest ^= lowest

    @property
    def earliest(self) -> int | None:
        return self.first if self.bits else None

    @property
    def latest(self) -> int | None:
        return self.first + self.bits.bit_length() - 1 if self.bits else None

    def changed(self, day: int, *, present: bool) -> "DaySet":
        """Give the set with that day in it, or without."""
        if (day in self) == present:
            return self
        if not self.bits:
            return DaySet(day, 1)
        if day < self.first:
            return DaySet(day, self.bits << (self.first - day) | 1)
        bits = self.bits ^ 1 << (day - self.first)
        if not bits:
            return DaySet()
        empty = (bits & -bits).bit_length() - 1
        return DaySet(self.first + empty, bits >> empty)

    def count(self, since: int, until: int) -> int:
        """Give how many days of the set lie between these two, both included."""
        low = max(since - self.first, 0)
        width = until - self.first - low + 1
        return (self.bits >> low & (1 << width) - 1).bit_count() if width > 0 else 0

    def run_ending(self, day: int) -> int:
        """Give how many days in a row, up to and including this one, are in the set; 0 where this one is not."""
        width = day - self.first + 1
        if width <= 0:
            return 0
        gaps = ~self.bits & (1 << width) - 1
        return width - gaps.bit_length()
