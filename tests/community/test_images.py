"""What is done to a picture's bytes, here in the tests' own process: colours, turns, versions, refusals."""

import io
import random
import struct
import subprocess
import sys

import orjson
import pytest
from PIL import Image, ImageCms

from community.images import DIMENSIONS, FORMAT, MAX_TRANSPARENT_PIXELS, Refused, answer, rework, serve
from tests.support.pictures import HOSTILE, SECRET, encoded, hostile, picture, png, private
from tests.support.processes import ROOT


def again(raw: bytes, kind: str) -> Image.Image:
    """The picture that was made of these bytes."""
    found = Image.open(io.BytesIO(rework(raw, kind=kind, widths=[], square=False).content))
    assert found.format == kind
    found.load()
    return found


@pytest.mark.parametrize(
    ("kind", "mode", "wanted"),
    [
        ("PNG", "1", "L"),
        ("PNG", "L", "L"),
        ("PNG", "LA", "RGB"),
        ("PNG", "P", "RGB"),
        ("PNG", "RGBA", "RGB"),
        ("JPEG", "L", "L"),
        ("JPEG", "CMYK", "RGB"),
        ("WEBP", "RGBA", "RGB"),
    ],
)
def test_every_mode_becomes_a_plain_one(kind: str, mode: str, wanted: str) -> None:
    found = again(encoded(picture(40, 30, mode=mode), kind), kind)
    assert (found.mode, found.size) == (wanted, (40, 30))


def test_grey_of_sixteen_bits_keeps_its_upper_eight() -> None:
    made = Image.new("I;16", (20, 10), 0x8000)
    assert again(encoded(made, "PNG"), "PNG").getpixel((5, 5)) == 0x80


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_kept_where_there_is_some(kind: str) -> None:
    made = picture(40, 30, mode="RGBA")
    made.putalpha(Image.linear_gradient("L").resize((40, 30)))
    found = again(encoded(made, kind), kind)
    assert found.mode == "RGBA"
    assert found.getchannel("A").getextrema()[0] < 20
    palette = picture(40, 30).quantize(8)
    palette.info["transparency"] = 0
    assert again(encoded(palette, "PNG"), "PNG").mode == "RGBA"


def test_transparent_webp_is_made_smaller_when_its_encoder_would_take_too_much() -> None:
    made = Image.new("RGBA", (4096, 2200), (9, 9, 9, 100))
    done = rework(encoded(made, "WEBP", lossless=True, method=0), kind="WEBP", widths=[], square=False)
    assert done.width * done.height <= MAX_TRANSPARENT_PIXELS
    assert done.width / done.height == pytest.approx(4096 / 2200, rel=0.01)


def test_colours_of_another_profile_are_turned_into_srgb() -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    assert again(encoded(picture(), "JPEG", icc_profile=linear), "JPEG").size == (64, 48)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (lab, srgb, b"no profile at all"):
        found = again(encoded(picture(), "PNG", icc_profile=profile), "PNG")
        assert found.getpixel((3, 3)) == (255, 0, 0)
        assert "icc_profile" not in found.info


def test_versions_are_smaller_in_proportion_and_square_from_the_middle() -> None:
    raw = encoded(picture(800, 400), "PNG")
    done = rework(raw, kind="PNG", widths=[96, 320, 640, 800, 1280], square=False)
    sizes = {width: Image.open(io.BytesIO(content)).size for width, content in done.variants.items()}
    assert sizes == {640: (640, 320), 320: (320, 160), 96: (96, 48)}
    squares = rework(raw, kind="PNG", widths=[96, 320, 640], square=True)
    assert {width: Image.open(io.BytesIO(content)).size for width, content in squares.variants.items()} == {
        320: (320, 320),
        96: (96, 96),
    }
    flat = rework(encoded(picture(2000, 1), "PNG"), kind="PNG", widths=[320], square=False)
    assert Image.open(io.BytesIO(flat.variants[320])).size == (320, 1)


def test_s21_refusals_tell_size_from_format() -> None:
    for raw, reason in (
        (png(4097, 1, b""), DIMENSIONS),
        (png(60_000, 60_000, b""), DIMENSIONS),
        (png(4097, 4097, b""), DIMENSIONS),
        (png(5, 5, b""), FORMAT),
        (encoded(picture(), "GIF"), FORMAT),
        (b"", FORMAT),
    ):
        with pytest.raises(Refused) as refused:
            rework(raw, kind="PNG", widths=[], square=False)
        assert refused.value.reason == reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_s23_nothing_private_goes_over(kind: str) -> None:
    done = rework(private(kind, orientation=6), kind=kind, widths=[32], square=False)
    assert (done.width, done.height) == (48, 64)
    assert not any(SECRET in each for each in (done.content, *done.variants.values()))


def test_s21_hostile_pictures_are_refused_or_done_and_nothing_else() -> None:
    for number in range(3 * len(HOSTILE)):
        name, file = hostile(7, number)
        if name == "large":
            continue  # seconds each: in the scenario
        kind = random.Random(number).choice(("JPEG", "PNG", "WEBP"))
        says, *contents = answer({"kind": kind, "widths": [32], "square": False}, file.content)
        assert ("refused" in orjson.loads(says)) == (not contents), name
        assert not any(SECRET in each for each in contents), name


def test_jobs_are_answered_one_after_the_other_until_there_are_no_more() -> None:
    raw = encoded(picture(), "JPEG")
    header = orjson.dumps({"kind": "JPEG", "widths": [32], "square": False, "size": len(raw)})
    job = struct.pack(">I", len(header)) + header + raw
    answers = io.BytesIO()
    serve(io.BytesIO(job + job), answers)
    told = answers.getvalue()
    size = struct.unpack(">I", told[:4])[0]
    says = orjson.loads(told[4 : 4 + size])
    assert (says["width"], says["height"]) == (64, 48)
    assert len(told) == 2 * (4 + size + says["size"] + says["variants"][0][1])
    done = subprocess.run(
        [sys.executable, "-m", "community.images"], input=job, capture_output=True, cwd=ROOT, check=True
    )
    assert done.stdout == told[: len(told) // 2]
