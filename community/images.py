"""Pictures, freed of everything private and written anew by Pillow, in a process that may die of what it is given.

How the server starts that process, limits it and speaks to it is in ``community.image_worker``; the server itself
never imports this module, and no picture is ever decoded in the server.
"""

import io
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson

# The three decoders make themselves known by being imported; no other one is ever asked.
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

# The contract's: no side is longer.
MAX_SIDE = 4096
# Address space, not memory: Python and Pillow alone take 250 MiB of it. The largest picture takes 64 MiB decoded, as
# much again while it is turned, and twice that in WebP's encoder.
ADDRESS_SPACE_BYTES = 1024 * 1024 * 1024
# What people cannot tell from the original on a phone; 95 would be twice the bytes.
JPEG_QUALITY, WEBP_QUALITY, VARIANT_QUALITY = 88, 85, 80
# WebP's effort, 0 to 6: 2 takes half the time of the default 4, for 5 % more bytes.
WEBP_METHOD = 2
# WebP's encoder takes 20 bytes a pixel for transparency: 330 MiB for the largest picture, half of it for this.
MAX_TRANSPARENT_PIXELS = 8 * 1024 * 1024
# zlib's, 0 to 9: 4 takes half the time of the default 6.
PNG_LEVEL = 4
# Pictures are stored wider than tall or the other way round; EXIF 2.3, 4.6.4 A: how each is to be turned.
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FORMAT, DIMENSIONS = "format", "dimensions"
LENGTH = struct.Struct(">I")


class Refused(Exception):
    """A picture that is not taken: ``reason`` is FORMAT or DIMENSIONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reworked:
    """A picture written anew, its size, and its smaller WebP versions by their width."""

    width: int
    height: int
    content: bytes
    variants: dict[int, bytes]


def rework(raw: bytes, *, kind: str, widths: list[int], square: bool) -> Reworked:
    """Write a picture of the format ``kind`` (JPEG, PNG, WEBP) anew, with a WebP version for each smaller width.

    Of an animation the first frame is left. Nothing but pixels goes over: colours are turned into sRGB, the
    orientation is applied. ``square`` cuts the versions out of the middle. Raises ``Refused``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = _decoded(raw, kind)
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(DIMENSIONS) from error
    except Exception as error:  # What a decoder raises about hostile bytes is anything at all.
        raise Refused(FORMAT) from error
    return Reworked(
        width=picture.width,
        height=picture.height,
        content=_encoded(picture, kind),
        variants=dict(_variants(picture, widths, square=square)),
    )


def _decoded(raw: bytes, kind: str) -> Image.Image:
    picture, profile, turn = _opened(raw, kind)
    picture = _in_srgb(picture, profile)
    if picture.mode not in {"L", "RGB", "RGBA"}:
        picture = picture.convert("RGB")
    if picture.mode == "RGBA":
        picture = _seen_through(picture, kind)
    if turn is not None:
        picture = picture.transpose(turn)
    picture.info = {}
    return picture


def _seen_through(picture: Image.Image, kind: str) -> Image.Image:
    """Give a picture that may be transparent: without transparency where it has none, smaller where that is too much."""
    if picture.getchannel("A").getextrema() == (255, 255):
        return picture.convert("RGB")
    if kind == "WEBP" and picture.width * picture.height > MAX_TRANSPARENT_PIXELS:
        scale = (MAX_TRANSPARENT_PIXELS / (picture.width * picture.height)) ** 0.5
        size = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
        return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return picture


def _opened(raw: bytes, kind: str) -> tuple[Image.Image, bytes | None, Image.Transpose | None]:
    """Give the first frame's pixels alone, the profile of its colours, and how it must be turned.

    The decoder's own image ends here: two of the largest in memory at a time are enough.
    """
    with Image.open(io.BytesIO(raw), formats=(kind,)) as found:
        # From the header: not a pixel has been decoded yet.
        if max(found.size) > MAX_SIDE:
            raise Refused(DIMENSIONS)
        turn = TURNS.get(_orientation(found))
        profile = found.info.get("icc_profile")
        found.load()
        picture = _in_plain_mode(found, kind)
    picture.info = {}
    return picture, profile, turn


def _orientation(found: Image.Image) -> int:
    """Give the orientation that the metadata tell; those that cannot be read tell none."""
    try:
        return int(found.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - hostile bytes again; the picture itself may be fine
        return 1


def _in_plain_mode(found: Image.Image, kind: str) -> Image.Image:
    """Give the pixels as grey, RGB, RGBA, or (until it is turned into sRGB) CMYK."""
    if found.mode.startswith("I"):
        # 16 bits of grey: the upper 8 are kept.
        return found.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    seen_through = found.mode in {"LA", "PA", "La", "RGBa", "RGBA"} or "transparency" in found.info
    if seen_through and kind != "JPEG":
        mode = "RGBA"
    else:
        mode = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(found.mode, "RGB")
    if mode == found.mode and "transparency" not in found.info:
        # Without a copy: the decoder may hold two more until it is gone.
        return found._new(found.im)  # noqa: SLF001 - Pillow has no public word for it
    return found.convert(mode)


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn the colours of another profile (phones take wide ones) into those that everybody shows."""
    if not profile:
        return picture
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode != "CMYK" and "sRGB" in ImageCms.getProfileDescription(given):
            return picture
        mode = "RGB" if picture.mode == "CMYK" else picture.mode
        turned = ImageCms.profileToProfile(picture, given, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # a profile that is broken, or for other colours than the picture's
    return picture if turned is None else turned


def _encoded(picture: Image.Image, kind: str) -> bytes:
    options: dict[str, Any] = {
        "JPEG": {"quality": JPEG_QUALITY},
        "PNG": {"compress_level": PNG_LEVEL},
        "WEBP": {"quality": WEBP_QUALITY, "method": WEBP_METHOD},
    }[kind]
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _variants(picture: Image.Image, widths: list[int], *, square: bool) -> Iterator[tuple[int, bytes]]:
    """Give the smaller versions, the largest first: each is made of the one before."""
    if square:
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    full = picture.size
    for width in sorted(widths, reverse=True):
        if width >= full[0]:
            continue  # never larger than it came
        height = max(1, round(full[1] * width / full[0]))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=VARIANT_QUALITY, method=WEBP_METHOD)
        yield width, out.getvalue()


def answer(header: dict[str, Any], raw: bytes) -> list[bytes]:
    """Do one job; give the answer's header and what follows it."""
    try:
        done = rework(raw, **header)
    except Refused as refused:
        return [orjson.dumps({"refused": refused.reason})]
    except MemoryError:
        return [orjson.dumps({"refused": FORMAT})]
    says = {
        "width": done.width,
        "height": done.height,
        "size": len(done.content),
        "variants": [[width, len(content)] for width, content in done.variants.items()],
    }
    return [orjson.dumps(says), done.content, *done.variants.values()]


def _limit_itself() -> None:
    """Give up what a decoder has no use for: more memory, files, other processes."""
    wanted = {
        resource.RLIMIT_AS: ADDRESS_SPACE_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    for what, most in wanted.items():
        try:
            resource.setrlimit(what, (most, most))
        except (OSError, ValueError):
            pass  # macOS has no limit on address space


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Do jobs until there are no more: each is a length, a JSON header with a size, and as many bytes."""
    Image.MAX_IMAGE_PIXELS = MAX_SIDE * MAX_SIDE
    while length := jobs.read(LENGTH.size):
        header = orjson.loads(jobs.read(LENGTH.unpack(length)[0]))
        says, *contents = answer(header, jobs.read(header.pop("size")))
        answers.write(LENGTH.pack(len(says)) + says)
        answers.writelines(contents)
        answers.flush()


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the whole group; the server decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_itself()
    serve(sys.stdin.buffer, sys.stdout.buffer)
