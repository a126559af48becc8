"""What the strict reader lets through and what it refuses.

How a refusal looks on the wire is tested over HTTP.
"""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handlers.json_reader import MAX_BYTES, MAX_DEPTH, BadJson, read_json

BIGGEST = 2**53 - 1


def read(raw, content_type="application/json"):
    return read_json(raw.encode() if isinstance(raw, str) else raw, content_type=content_type)


def refusal(raw, content_type="application/json"):
    with pytest.raises(BadJson) as refused:
        read(raw, content_type)
    return refused.value


def nested(levels):
    """An object whose lists make it `levels` deep."""
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def of_bytes(size):
    return b'{"a":"' + b"x" * (size - 8) + b'"}'


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_s14_no_body_is_an_empty_object(content_type):
    assert read(b"", content_type) == {}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("{}", {}),
        (' \r\n\t{"a": [1, -2.5, true, null, "x"]} ', {"a": [1, -2.5, True, None, "x"]}),
        ('{"a": "Zo\\u00eb \\ud83c\\udfcb 🏋"}', {"a": "Zoë 🏋 🏋"}),
        ('{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        ('{"a": "\\\\\\\\u0000"}', {"a": "\\\\u0000"}),
        ('{"a": "]}]}[{\\"[["}', {"a": ']}]}[{"[['}),
        ('{"a": 1e308, "b": 1E-400, "c": -0}', {"a": 1e308, "b": 0.0, "c": 0}),
        (f'{{"a": {BIGGEST}, "b": -{BIGGEST}}}', {"a": BIGGEST, "b": -BIGGEST}),
        ('{"a": 12345678901234567890123.0}', {"a": 12345678901234567890123.0}),
        ('{"a": {"b": 1}, "b": {"a": 1}}', {"a": {"b": 1}, "b": {"a": 1}}),
        ('{"": 1}', {"": 1}),
    ],
)
def test_s14_valid_object_is_read(raw, value):
    assert read(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        " ",
        "null",
        "[]",
        '"text"',
        "1",
        "{",
        "{}{}",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 01}',
        '{"a": +1}',
        '{"a": .5}',
        '{"a": "\n"}',
        '{"a": "\x00"}',
        '{"a": "\\x"}',
        "\ufeff{}",
        "{/**/}",
        # What other readers take, or take differently.
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": [-1E400]}',
        '{"a": ' + "9" * 400 + ".0}",
        f'{{"a": {BIGGEST + 1}}}',
        f'{{"a": [{{"b": -{BIGGEST + 1}}}]}}',
        '{"a": 18446744073709551616}',
        '{"a": 123456789012345678901234567890}',
        '{"a": ' + "9" * 5_000 + "}",
        '{"a": 1, "a": 1}',
        '{"a": 1, "\\u0061": 2}',
        '{"a": {"b": 1, "c": 2, "b": 3}}',
        '{"a": "\\ud800"}',
        '{"a": "\\udc00\\ud800"}',
        '{"\\ud800": 1}',
        '{"a": "\\u0000"}',
        '{"a": "\\\\\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": {"$\\u0000": 1}}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": "' + '\\"' * 1_000,
        '{"a": "' + "\\" * 999,
    ],
)
def test_s14_anything_else_is_a_parse_error(raw):
    refused = refusal(raw)

    assert (refused.status, refused.code) == (400, "parse_error")
    assert refused.detail.startswith("JSON parse error - ")
    assert refused.detail.endswith(".")
    assert refused.detail.isprintable()


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (f'{{"a": 1, "weight": {BIGGEST + 1}, "b": 2}}', '"weight"'),
        (f'{{"a": "ok", "sets": [{{"reps": {2**64}}}]}}', '"sets"'),
        ('{"a": 1, "note": "\\udc00"}', '"note"'),
        ('{"\\ud800": 1}', '"\\ud800"'),
        ('{"' + "n" * 200 + f'": {2**53}}}', f'"{"n" * 100}"'),
    ],
)
def test_s14_what_cannot_be_kept_exactly_is_refused_with_the_name_of_its_field(raw, field):
    detail = refusal(raw).detail
    assert f" in {field} " in detail
    assert "2^53 - 1" in detail


def test_s14_depth_ends_at_its_limit():
    assert read(nested(MAX_DEPTH))
    assert "deeper" in refusal(nested(MAX_DEPTH + 1)).detail
    assert "deeper" in refusal('{"a":' * 33 + "1" + "}" * 33).detail


def test_s14_many_brackets_side_by_side_are_not_depth():
    assert len(read('{"a": [' + ",".join(["[[{}]]"] * 1_000) + "]}")["a"]) == 1_000
    assert len(read('{"a": "' + "[" * 1_000 + '"}')["a"]) == 1_000


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_s14_bottomless_nesting_is_refused_not_a_crash(opening):
    assert refusal(opening * (MAX_BYTES // len(opening))).status == 400
    assert "deeper" in refusal(f'{{"a": {"[" * 5_000}{"]" * 5_000}}}').detail


def test_s14_size_ends_at_its_limit():
    assert read(of_bytes(MAX_BYTES))
    assert "larger" in refusal(of_bytes(MAX_BYTES + 1)).detail


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json ; boundary=x",
    ],
)
def test_json_in_utf_8_is_taken(content_type):
    assert read('{"a": 1}', content_type) == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/merge-patch+json",
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "x" * 10_000,
    ],
)
def test_other_content_type_is_415(content_type):
    refused = refusal('{"a": 1}', content_type)

    assert (refused.status, refused.code) == (415, "unsupported_media_type")
    assert len(refused.detail) < 200


no_nul = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-BIGGEST, BIGGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | no_nul,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(no_nul, inner, max_size=4),
    max_leaves=12,
)


objects = st.dictionaries(no_nul, values, max_size=4)


@settings(deadline=None)  # a busy machine is no failure
@given(objects, st.booleans(), st.sampled_from([None, 2]))
def test_s14_whatever_is_written_as_json_is_read_back(value, ascii_only, indent):
    assert read(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary() | st.text('{}[]":,\\u0d8c1e-+. \n').map(str.encode))
@example(b'{"":"\\ud800\\u0000"}')
def test_s14_any_bytes_are_an_object_or_a_refusal(raw):
    try:
        value = read(raw)
    except BadJson:
        return
    assert isinstance(value, dict)
    json.dumps(value, allow_nan=False).encode()


@settings(deadline=None)  # a busy machine is no failure
@given(objects, st.data())
def test_s14_cut_body_is_refused(value, data):
    raw = json.dumps({**value, "last": 1}).encode()
    at = data.draw(st.integers(1, len(raw) - 1))

    assert refusal(raw[:at]).code == "parse_error"
