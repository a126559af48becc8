"""The shape of log lines, and what never stands in one.

What the server logs is tested where it does.
"""

import io
import json
import logging
import re
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.log import VERBATIM, configure, escaped, masked, request_id, user_id

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiIsImp0aSI6ImEifQ.Zm9vYmFyYmF6cXV4"
SECRET = "c0rrect-h0rse.batt~ry"


@pytest.fixture
def lines():
    """Gives a function that configures the log to a memory stream and gives a function that reads it.

    pytest's own handlers, which raise where a record cannot be formatted, are off from the first call on.
    """
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def start(level="INFO", fmt="text"):
        for each in [each for each in root.handlers if type(each).__module__ != configure.__module__]:
            root.removeHandler(each)
        stream = io.StringIO()
        configure(level, fmt, stream)
        return lambda: stream.getvalue().split("\n")[:-1]

    yield start
    logging.captureWarnings(False)
    root.setLevel(level)
    root.handlers[:] = handlers
    for name in ("pymongo", "stripe", "httpx"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def inside_request():
    tokens = request_id.set("req-1"), user_id.set(42)
    yield
    request_id.reset(tokens[0])
    user_id.reset(tokens[1])


def test_text_line_has_time_level_logger_and_message(lines):
    read = lines()
    logging.getLogger("handlers.base").warning("took %d ms", 12)

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING handlers\.base took 12 ms", read()[0]
    )


def test_text_line_names_the_request(lines, inside_request):
    read = lines()
    logging.getLogger("a").info("hello")

    assert " INFO a [req-1] hello" in read()[0]


def test_json_line_has_the_request_and_no_empty_fields(lines, inside_request):
    read = lines(fmt="json")
    logging.getLogger("a").info("hello")

    line = json.loads(read()[0])

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "INFO", "logger": "a", "message": "hello", "request_id": "req-1", "user_id": 42}


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_s36_exception_is_one_line_without_secrets(lines, fmt):
    read = lines(fmt=fmt)
    try:
        raise ValueError(f"refused\npassword={SECRET}\x1b[2J")
    except ValueError:
        logging.getLogger("a").exception("it broke")

    (line,) = read()

    assert SECRET not in line
    assert "\x1b" not in line
    assert "Traceback" in line
    assert "ValueError: refused" in (json.loads(line)["exception"] if fmt == "json" else line)


@pytest.mark.parametrize("fmt", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "a\r\nb",
        "a\x0bb\x0cb\x1cb",
        "a\x1b[31mred\x1b[0m",
        "a\x7fb",
        "a\x85b\x9bb",
        "a\u2028b\u2029b",
        "a\u202egnp.exe",
        "a\ud800b",
        "\x00",
    ],
)
def test_s36_control_characters_never_reach_the_stream(lines, fmt, text):
    read = lines(fmt=fmt)
    logging.getLogger("a").info("user said %s!", text)
    logging.getLogger("a").info("next")

    first, second = read()

    assert first.isprintable()
    assert len(first.splitlines()) == 1
    assert "next" in second
    first.encode("utf-8")


@settings(deadline=None, max_examples=30)  # a busy machine is no failure
@given(st.text())
@example("\ud800\u2066")
def test_s36_escaped_is_one_printable_line(text):
    line = escaped(text)

    assert len(line.splitlines()) <= 1
    assert not any(character in line for character in "\x00\n\r\x1b\x7f\x85\u2028\u2029\u202e")
    line.encode("utf-8")


def test_escaped_leaves_ordinary_text_alone():
    assert escaped("Zoë, 東京, 🏋️ \\n") == "Zoë, 東京, 🏋️ \\n"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization: {SECRET}",
        f"'Authorization': 'Basic {SECRET}'",
        f"('Authorization', 'Basic {SECRET}')",
        f'{{"authorization":"Bearer {SECRET}"}}',
        f"Sec-WebSocket-Protocol: cohort.v1, bearer.{SECRET}",
        f"sent bearer {SECRET} twice",
        f"GET /ws/community/feed/?token={SECRET}&since=1.2 HTTP/1.1",
        f"GET /password/reset/confirm?uid=1&token={SECRET}",
        f'{{"access": "{SECRET}", "refresh": "{SECRET}"}}',
        f"{{'new_password': '{SECRET}'}}",
        f'{{"current_password":"{SECRET}"}}',
        f'{{"password": "with spaces {SECRET} \\" quotes {SECRET}"}}',
        f'"{{\\"password\\": \\"{SECRET}\\"}}"',
        f'{{"password": "cut off {SECRET}',
        f"access_token={SECRET} refresh_token={SECRET}",
        f"Settings(jwt_secrets=('{SECRET}',), api_key='{SECRET}')",
        f"password = {SECRET}",
        f"PASSWORD: {SECRET}",
        f"smtp://mailer:{SECRET}@mail.example:587",
        f"mongodb://cohort:{SECRET}@db1,db2/cohort",
        f"redis://:{SECRET}@127.0.0.1",
        f"a {JWT} b",
        f"a {JWT[:40]}",
        f"path/{JWT}/more",
    ],
)
def test_s28_secrets_are_masked(text):
    found = masked(text)

    assert SECRET not in found
    assert JWT[:40] not in found
    assert "***" in found


def test_masked_keeps_what_surrounds_a_secret():
    assert masked("GET /ws/?token=abc&since=1.2 took 3 ms") == "GET /ws/?token=***&since=1.2 took 3 ms"
    assert masked('{"refresh": "abc", "id": 5}') == '{"refresh": ***, "id": 5}'
    assert masked("mongodb://u:p@db/cohort") == "mongodb://***@db/cohort"


@pytest.mark.parametrize(
    "text",
    [
        "Post 812 created by 42",
        "an access to the feed was refreshed",
        "accessing: 3 rooms",
        "https://cohort.example/api/community/feed/?cursor=abc",
        "eyJ is how one starts",
    ],
)
def test_masked_leaves_ordinary_text_alone(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "token" * 40_000,
        'password="' + "\\" * 200_000,
        "bearer" + " " * 200_000,
        "eyJ" * 70_000,
        "://:" * 50_000,
    ],
)
def test_masking_a_long_line_grows_with_its_length_only(text):
    masked(text)  # one of these took minutes if a pattern tried every split of the line


def test_verbatim_record_keeps_its_link(lines):
    read = lines()
    logging.getLogger("a").info("https://x/?token=abc\n", extra=VERBATIM)

    assert read()[0].endswith("https://x/?token=abc\\n")


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_s28_record_that_cannot_be_formatted_shows_its_place_only(lines, capsys, fmt):
    read = lines(fmt=fmt)
    logging.getLogger("a").info("%d", SECRET)

    assert re.search(r"ERROR config\.log no line for a:\d+", read()[0])
    assert capsys.readouterr().err == ""


def test_closed_stream_does_not_raise(lines):
    lines()
    stream = io.StringIO()
    configure("INFO", "text", stream)
    stream.close()

    logging.getLogger("a").info("hello")


def test_configure_again_replaces_the_stream_and_the_level(lines):
    first = lines(level="DEBUG")
    second = lines(level="WARNING")
    logging.getLogger("a").info("not wanted")
    logging.getLogger("a").warning("wanted")

    assert first() == []
    assert len(second()) == 1


def test_configure_quiets_libraries_that_log_documents(lines):
    read = lines(level="DEBUG")
    logging.getLogger("pymongo.command").debug("a whole document")
    logging.getLogger("community").debug("ours")

    assert len(read()) == 1
    with pytest.raises(ValueError, match="LOUD"):
        configure("LOUD", "text", io.StringIO())


def test_warnings_become_lines(lines):
    read = lines()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old\nways", UserWarning, stacklevel=1)

    assert "py.warnings" in read()[0]
