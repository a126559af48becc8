"""Pictures for tests, good and hostile ones from a seed, and the forms they are sent in.

What should become of each is the tests' business; ``HOSTILE`` only names what was done to it.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

# Stands for everything private: it must be in no byte that goes out.
SECRET = b"48.2082N 16.3738E at home"
BOUNDARY = "a-boundary-of-the-tests"
TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True)
class File:
    """A file as a phone sends it."""

    name: str
    media_type: str
    content: bytes

    @classmethod
    def of(cls, kind: str, content: bytes) -> "File":
        return cls(f"picture{EXTENSIONS[kind]}", TYPES[kind], content)


def form(file: File | None = None, /, field: str = "image", **texts: str) -> bytes:
    """A form with these texts and this file."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in texts.items()
    ]
    if file is not None:
        head = f'Content-Disposition: form-data; name="{field}"; filename="{file.name}"'
        parts.append(
            f"--{BOUNDARY}\r\n{head}\r\nContent-Type: {file.media_type}\r\n\r\n".encode()
            + file.content
            + b"\r\n"
        )
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FORM_HEADERS: Mapping[str, str] = {"Content-Type": FORM_TYPE}


def picture(width: int = 64, height: int = 48, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A picture whose corners differ: top left red, top right green, bottom left blue, bottom right white.

    The seed is a dot in the middle, where there is room.
    """
    made = Image.new("RGB", (width, height))
    across, down = width // 2, height // 2
    made.paste("red", (0, 0, across, down))
    made.paste("lime", (across, 0, width, down))
    made.paste("blue", (0, down, across, height))
    made.paste("white", (across, down, width, height))
    made.paste((seed % 256, 128, 128), (across, down, across + width // 8, down + height // 8))
    return made if mode == "RGB" else made.convert(mode)


def encoded(made: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    made.save(out, kind, **options)
    return out.getvalue()


def private(kind: str, *, orientation: int = 1, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture that says where it was taken, in every place that its format has for that."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8825)[29] = SECRET.decode()
    options: dict[str, object] = {"exif": exif, "icc_profile": b"\0" * 128 + SECRET, "xmp": b"<x>" + SECRET}
    if kind == "JPEG":
        options["comment"] = SECRET
    if kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET.decode())
        texts.add_itxt("Where", SECRET.decode(), zip=False)
        options = {"exif": exif, "icc_profile": options["icc_profile"], "pnginfo": texts}
    made = encoded(picture(*size), kind, **options)
    if kind == "JPEG":
        # IPTC, and a thumbnail's place.
        iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(SECRET)) + SECRET
        made = made[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + made[2:]
    assert SECRET in made
    return made


def png(width: int, height: int, rows: bytes, *, colour: int = 2) -> bytes:
    """A PNG of any size whose header need not tell the truth."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _kind(chance: random.Random) -> str:
    return chance.choice(("JPEG", "PNG", "WEBP"))


def _some(chance: random.Random) -> Image.Image:
    return picture(chance.randint(1, 400), chance.randint(1, 300), seed=chance.randrange(1000))


def bomb(chance: random.Random) -> File:
    """Few bytes that say they are many pixels."""
    side = chance.choice((4097, 20_000, 65_535, 2**31 - 1))
    other = chance.choice((1, 4097, 30_000))
    return File.of("PNG", png(side, other, bytes(1000)))


def large(chance: random.Random) -> File:
    """As many pixels as may be, in few bytes."""
    kind = _kind(chance)
    side = chance.choice((4096, 4096, 4097))
    made = Image.new(chance.choice(("L", "RGB")), (4096, side), chance.randrange(256))
    return File.of(kind, encoded(made, kind))


def text_bomb(chance: random.Random) -> File:
    """A PNG whose remarks unpack to a great many bytes."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * chance.choice((2_000_000, 90_000_000)), zip=True)
    return File.of("PNG", encoded(_some(chance), "PNG", pnginfo=texts))


def truncated(chance: random.Random) -> File:
    kind = _kind(chance)
    whole = private(kind)
    return File.of(kind, whole[: chance.randrange(len(whole))])


def flipped(chance: random.Random) -> File:
    """Some bits of it are others."""
    kind = _kind(chance)
    raw = bytearray(private(kind, orientation=chance.randint(1, 8)))
    for _ in range(chance.randint(1, 30)):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return File.of(kind, bytes(raw))


def polyglot(chance: random.Random) -> File:
    """A picture that is something else as well."""
    kind = _kind(chance)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("run.js", SECRET)
    tail = chance.choice((archive.getvalue(), b"<script>" + SECRET, b"GIF89a" + SECRET, b"%PDF-1.7" + SECRET))
    return File.of(kind, encoded(_some(chance), kind) + tail)


def animated(chance: random.Random) -> File:
    """Many frames; the second one holds what is private."""
    kind = chance.choice(("PNG", "WEBP"))
    first, *more = [picture(80, 60, seed=number) for number in range(chance.randint(2, 20))]
    raw = encoded(first, kind, save_all=True, append_images=more, duration=20)
    return File.of(kind, raw)


def wrong_extension(chance: random.Random) -> File:
    kind = _kind(chance)
    name = chance.choice(
        ("picture.gif", "picture.svg", "picture", "picture.jpg.php", "../../x.exe", ".png.bmp")
    )
    return File(name, TYPES[kind], encoded(_some(chance), kind))


def wrong_type(chance: random.Random) -> File:
    kind = _kind(chance)
    media_type = chance.choice(("image/gif", "image/svg+xml", "text/html", "application/octet-stream", ""))
    return File(f"picture{EXTENSIONS[kind]}", media_type, encoded(_some(chance), kind))


def wrong_content(chance: random.Random) -> File:
    """Declared as one format, and another."""
    kind = _kind(chance)
    others = [
        encoded(_some(chance), "GIF"),
        encoded(_some(chance), "BMP"),
        encoded(_some(chance), "TIFF"),
        encoded(_some(chance), chance.choice([each for each in TYPES if each != kind])),
        b"<svg onload='" + SECRET + b"'/>",
        b"",
        chance.randbytes(chance.randint(1, 5000)),
    ]
    return File.of(kind, chance.choice(others))


def with_a_place(chance: random.Random) -> File:
    kind = _kind(chance)
    return File.of(kind, private(kind, orientation=chance.randint(0, 9)))


def odd_colours(chance: random.Random) -> File:
    """Grey, palettes, transparency, CMYK, one bit."""
    mode, kind = chance.choice((
        ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"),
        ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "WEBP"),
    ))  # fmt: skip
    made = (
        picture(90, 70, mode="L").convert("I").convert("I;16")
        if mode == "I;16"
        else picture(90, 70, mode=mode)
    )
    return File.of(kind, encoded(made, kind))


def signature_only(chance: random.Random) -> File:
    """The right beginning, then noise."""
    kind = _kind(chance)
    start = {"JPEG": b"\xff\xd8\xff\xe0", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF\xff\xff\0\0WEBPVP8 "}[
        kind
    ]
    return File.of(kind, start + chance.randbytes(chance.randint(0, 20_000)))


HOSTILE: Mapping[str, Callable[[random.Random], File]] = {
    each.__name__: each
    for each in (
        bomb, text_bomb, truncated, flipped, polyglot, animated, wrong_extension, wrong_type, wrong_content,
        with_a_place, odd_colours, signature_only, large,
    )
}  # fmt: skip


def hostile(seed: int, number: int) -> tuple[str, File]:
    """The ``number``-th of a seed's hostile pictures, and what was done to it."""
    names = list(HOSTILE)
    name = names[number % len(names)]
    return name, HOSTILE[name](random.Random(f"{seed} {number}"))
