"""The checker of all answers, checked: what it lets pass and what it names.

No server runs here.
"""

import json

import pytest
from marshmallow import Schema, fields

from handlers.endpoint import PUBLIC, TRAINERS, Endpoint, Route, endpoint
from handlers.openapi import build_document
from tests.support.contract import FORMATS, Contract


class Thing(Schema):
    id = fields.Integer()
    name = fields.String(allow_none=True)
    made_at = fields.DateTime()
    tags = fields.List(fields.String())


class ThingsHandler:
    @endpoint(
        Endpoint(
            summary="s", roles=TRAINERS, tag="t", answers={200: Thing()}, cached=True, headers={"X-Here": "h"}
        )
    )
    async def get(self, thing_id):
        """Only what is declared counts here."""

    @endpoint(Endpoint(summary="s", roles=TRAINERS, tag="t", answers={204: None}))
    async def delete(self, thing_id):
        """Only what is declared counts here."""


class PageHandler:
    @endpoint(Endpoint(summary="s", roles=PUBLIC, tag="t", answers={200: None}, media="text/html"))
    async def get(self):
        """Only what is declared counts here."""


DOCUMENT = build_document(
    [
        Route("/api/things/{thing_id}/", ThingsHandler, "thing"),
        Route("/api/page/", PageHandler, "page"),
        Route("/api/pages/{name}/", PageHandler, "named"),
        Route("/api/pages/first/", PageHandler, "first"),
    ],
    version="1",
)
THING = {"id": 5, "name": None, "made_at": "2026-11-21T09:17:03.123Z", "tags": ["a"]}
HEADERS = {"X-Request-ID": "r", "Content-Type": "application/json; charset=UTF-8"}
GOOD = {**HEADERS, "etag": 'W/"a"'}
PROBLEM = {"detail": "No.", "code": "no"}


@pytest.fixture
def contract():
    return Contract(DOCUMENT)


def as_bytes(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize(
    "answer",
    [
        ("GET", "/api/things/5/", 200, GOOD, THING),
        ("GET", "/api/things/5", 200, GOOD, THING),
        ("GET", "http://127.0.0.1:8000/api/things/5/?cursor=a", 200, GOOD, THING),
        ("GET", "/api/things/5/", 304, GOOD, b""),
        ("GET", "/api/things/5/", 400, HEADERS, PROBLEM),
        ("GET", "/api/things/5/", 401, {**HEADERS, "WWW-Authenticate": "Bearer"}, PROBLEM),
        ("GET", "/api/things/5/", 404, HEADERS, PROBLEM),
        ("DELETE", "/api/things/5/", 204, {"X-Request-ID": "r"}, b""),
        ("GET", "/api/page/", 200, {"X-Request-ID": "r", "Content-Type": "text/html"}, b"<p>"),
        ("POST", "/api/page/", 405, {**HEADERS, "Allow": "GET"}, PROBLEM),
        ("HEAD", "/api/page/", 405, {**HEADERS, "Allow": "GET"}, b""),
        ("OPTIONS", "/api/page/", 204, {}, b""),
        ("GET", "/nowhere/", 404, HEADERS, PROBLEM),
        ("GET", "/api/things/five/", 404, HEADERS, PROBLEM),
    ],
)
def test_answer_within_the_contract_passes(contract, answer):
    *rest, body = answer

    contract.check(*rest, as_bytes(body))


@pytest.mark.parametrize(
    "answer",
    [
        ("GET", "/api/things/5/", 201, GOOD, THING, "no such status"),
        (
            "GET",
            "/api/things/5/",
            200,
            GOOD,
            {**THING, "id": "5"},
            r"at \$\.id: '5' is not of type 'integer'",
        ),
        ("GET", "/api/things/5/", 200, GOOD, {**THING, "tags": ["a", 1]}, r"at \$\.tags\[1\]:"),
        ("GET", "/api/things/5/", 200, GOOD, {**THING, "stray": 1}, "'stray' was unexpected"),
        ("GET", "/api/things/5/", 200, GOOD, {"id": 5}, "is a required property"),
        ("GET", "/api/things/5/", 200, GOOD, b"{", "not JSON"),
        ("GET", "/api/things/5/", 200, GOOD, b"", "not JSON"),
        ("GET", "/api/things/5/", 200, GOOD, b'{"id": 1, "id": 2}', "repeated"),
        ("GET", "/api/things/5/", 200, GOOD, b'{"id": NaN}', "NaN"),
        ("GET", "/api/things/5/", 200, GOOD, b"\xff", "not JSON"),
        (
            "GET",
            "/api/things/5/",
            200,
            {**GOOD, "Content-Type": "text/html"},
            THING,
            "content type is 'text/html'",
        ),
        ("GET", "/api/things/5/", 200, {**HEADERS, "x-here": "a"}, THING, "header ETag is missing"),
        ("GET", "/api/things/5/", 304, GOOD, THING, "has a body"),
        ("GET", "/api/things/5/", 400, HEADERS, {"detail": "No."}, "'code' is a required"),
        ("GET", "/api/things/5/", 400, HEADERS, {"detail": "No.", "code": "Not A Word"}, r"at \$\.code"),
        ("GET", "/api/things/5/", 401, HEADERS, PROBLEM, "header WWW-Authenticate is missing"),
        ("GET", "/api/things/5/", 429, HEADERS, PROBLEM, "header Retry-After is missing"),
        ("GET", "/api/things/5/", 500, {"Content-Type": "application/json"}, PROBLEM, "header X-Request-ID"),
        ("DELETE", "/api/things/5/", 204, HEADERS, {}, "has a body"),
        ("DELETE", "/api/things/5/", 200, HEADERS, {}, "no such status"),
        ("POST", "/api/page/", 200, HEADERS, {}, "no such method"),
        ("POST", "/api/page/", 405, HEADERS, PROBLEM, "header Allow is missing"),
        ("OPTIONS", "/api/page/", 204, {}, b"x", "has a body"),
        ("HEAD", "/api/page/", 405, {**HEADERS, "Allow": "GET"}, b"x", "has a body"),
        ("GET", "/nowhere/", 200, HEADERS, PROBLEM, "no such path"),
        ("GET", "/nowhere/", 404, HEADERS, {}, "required property"),
    ],
)
def test_answer_off_the_contract_is_named(contract, answer):
    method, path, status, headers, body, complaint = answer
    with pytest.raises(AssertionError, match=complaint) as error:
        contract.check(method, path, status, headers, as_bytes(body))

    template = path.replace("5", "{thing_id}") if "5" in path else path
    assert str(error.value).startswith(f"{method} {template} {status}")


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("2026-11-21T09:17:03.123Z", True),
        ("2026-11-21T09:17:03Z", False),
        ("2026-11-21T09:17:03.123456Z", False),
        ("2026-11-21T09:17:03.123+00:00", False),
        ("2026-11-21 09:17:03.123Z", False),
        ("2026-02-30T09:17:03.123Z", False),
        ("٢٠٢٦-11-21T09:17:03.123Z", False),
        ("", False),
    ],
)
def test_times_have_one_form(contract, value, good):
    body = as_bytes({**THING, "made_at": value})
    if good:
        contract.check("GET", "/api/things/5/", 200, GOOD, body)
        return
    with pytest.raises(AssertionError, match=r"at \$\.made_at"):
        contract.check("GET", "/api/things/5/", 200, GOOD, body)


@pytest.mark.parametrize(
    ("form", "value", "good"),
    [
        ("date", "2026-11-21", True),
        ("date", "2026-02-30", False),
        ("date", "20261121", False),
        ("date", "2026-W47-6", False),
        ("date", None, True),
        ("date-time", None, True),
        ("email", "ann@example.org", True),
        ("email", "ann", False),
    ],
)
def test_formats_are_checked(form, value, good):
    assert FORMATS.conforms(value, form) is good


def test_path_without_parameters_wins_over_one_with_them(contract):
    assert contract.template_of("/api/pages/first/") == "/api/pages/first/"
    assert contract.template_of("/api/pages/second") == "/api/pages/{name}/"
    assert contract.template_of("/api/pages/a/b/") is None


def test_unseen_tells_which_promised_answers_no_test_saw(contract):
    contract.check("GET", "/api/things/5/", 200, GOOD, as_bytes(THING))

    assert contract.unseen() == [
        ("GET", "/api/things/{thing_id}/", 304),
        ("DELETE", "/api/things/{thing_id}/", 204),
        ("GET", "/api/page/", 200),
        ("GET", "/api/pages/{name}/", 200),
        ("GET", "/api/pages/first/", 200),
    ]
