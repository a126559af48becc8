"""Pictures for the demo: hills under a sky, drawn from a number, the same for the same number.

They are written as PNG by hand, since nothing in the server's own process knows more of pictures; then they go the way
of all uploads.
"""

import math
import random
import struct
import zlib

from community.image_worker import PNG, Upload

# Drawn small and shown large: 38,400 points take 20 ms, 614,400 would take a third of a second.
WIDTH, HEIGHT, SCALE = 240, 160, 4
HILLS = 4

Colour = tuple[int, int, int]


def landscape(seed: int) -> Upload:
    """Give a picture of 960 x 640."""
    # No secret comes from here.
    rng = random.Random(seed)  # noqa: S311
    dawn, day = _colour(rng, 200), _colour(rng, 120)
    heights = [_ridge(rng, number) for number in range(HILLS)]
    hills = [_mixed((20, 60, 40), day, number / HILLS / 2) for number in range(HILLS, 0, -1)]
    rows: list[bytes] = []
    for y in range(HEIGHT):
        line = [_mixed(day, dawn, y / HEIGHT)] * WIDTH
        for ridge, colour in zip(heights, hills, strict=True):
            line = [colour if y >= ridge[x] else under for x, under in enumerate(line)]
        row = b"\0" + b"".join(bytes(colour) * SCALE for colour in line)
        rows += [row] * SCALE
    return Upload(PNG, _png(WIDTH * SCALE, HEIGHT * SCALE, b"".join(rows)))


def _colour(rng: random.Random, least: int) -> Colour:
    return (rng.randint(least, 255), rng.randint(least, 240), rng.randint(least, 255))


def _ridge(rng: random.Random, number: int) -> list[float]:
    """Give the height of a line of hills at each x, the farthest first."""
    middle = HEIGHT * (0.4 + 0.15 * number)
    waves = [
        (rng.uniform(4, 14) / each, each * rng.uniform(0.6, 1.4), rng.uniform(0, 6)) for each in (1, 2, 5)
    ]
    return [
        middle + sum(high * math.sin(x / WIDTH * 6 * often + start) for high, often, start in waves)
        for x in range(WIDTH)
    ]


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return (red, green, blue)


def _png(width: int, height: int, rows: bytes) -> bytes:
    """RFC 2083: the header, the rows (each after a byte that says it is as it is), the end."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
