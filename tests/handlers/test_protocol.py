"""What every endpoint shares: strict JSON, methods, headers, CORS, errors, health, the published contract."""

import logging
from contextlib import closing
from dataclasses import replace

import pytest
from tornado.httpserver import HTTPServer

from config.deps import Deps
from config.settings import Settings, load_settings
from handlers import accounts
from handlers.endpoint import Endpoint, Route, check, endpoint
from handlers.routes import ROUTES
from tests.conftest import SECRET
from tests.support.client import Api
from tests.support.groups import Groups
from tests.support.http_connection import HttpConnection
from tests.support.mail import Mailbox

CREATE = "/api/auth/jwt/create/"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"email": NaN, "password": "x"}',
        b'{"email": Infinity}',
        b'{"email": 1e999}',
        b'{"email": 9007199254740993}',
        b'{"email": "\\ud800", "password": "x"}',
        b'{"email": "a", "email": "b", "password": "x"}',
        b'{"em\\u0000ail": "a"}',
        b'{"email": "a\\u0000b", "password": "x"}',
        b"\xff\xfe{",
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
async def test_s14_json_is_refused_when_it_is_not_strict(api: Api, raw: bytes) -> None:
    answer = await api.send("POST", CREATE, raw=raw)
    assert answer.status == 400
    assert answer.json["code"] == "parse_error"


async def test_s14_body_is_refused_when_it_is_too_long_or_of_another_type(api: Api) -> None:
    long = await api.send("POST", CREATE, raw=b'{"email": "' + b"x" * (1024 * 1024) + b'"}')
    assert (long.status, long.json["code"]) == (413, "request_too_large")
    form = await api.send(
        "POST",
        CREATE,
        raw=b"email=a&password=b",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (form.status, form.json["code"]) == (415, "unsupported_media_type")


async def test_method_is_refused_with_what_is_allowed(api: Api, groups: Groups) -> None:
    trainer = await groups.trainer()
    answer = await trainer.api.put("/api/community/feed/", {}, token=trainer.token)
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.json["detail"] == 'Method "PUT" not allowed.'
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}
    # Even before anybody logged in.
    assert (await api.send("BREW", "/api/community/feed/")).status == 405


async def test_path_is_not_found_in_the_contracts_words(api: Api) -> None:
    answer = await api.get("/api/nothing/here/")
    assert (answer.status, answer.json) == (404, {"detail": "Not found.", "code": "not_found"})


async def test_s34_answers_carry_security_headers(api: Api) -> None:
    answer = await api.get("/healthz")
    assert answer.json == {"status": "ok"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Server" not in answer.headers
    assert len(answer.headers["X-Request-ID"]) == 16
    given = await api.get("/healthz", headers={"X-Request-ID": "from-the-proxy-1"})
    assert given.headers["X-Request-ID"] == "from-the-proxy-1"
    forged = await api.get("/healthz", headers={"X-Request-ID": "a b\tc<script>"})
    assert len(forged.headers["X-Request-ID"]) == 16


async def test_s35_failure_shows_a_request_id_and_nothing_else(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret reason")

    monkeypatch.setattr("handlers.auth.sessions.log_in", fail)
    answer = await api.post(CREATE, {"email": "a", "password": "b"})
    assert answer.status == 500
    assert answer.json == {"detail": "Internal server error.", "code": "internal_error"}
    assert answer.headers["X-Request-ID"]
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    caplog.clear()


async def test_ready_tells_what_is_missing(api: Api, deps: Deps) -> None:
    assert (await api.get("/readyz")).json == {"status": "ready", "missing": []}
    deps.lifecycle.draining = True
    answer = await api.get("/readyz")
    assert (answer.status, answer.json["missing"]) == (503, ["draining"])


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/api/community/feed/", "/readyz"])
async def test_connection_is_given_up_after_any_answer_when_draining(
    http_server: tuple[HTTPServer, int], deps: Deps, path: str
) -> None:
    connection = HttpConnection(("127.0.0.1", http_server[1]))
    assert "connection" not in (await connection.send("GET", path)).headers
    deps.lifecycle.draining = True
    assert (await connection.send("GET", path)).headers["connection"] == "close"


async def test_metrics_count_requests_by_route(groups: Groups) -> None:
    trainer = await groups.trainer()
    post = await trainer.write()
    await trainer.get(f"/api/community/feed/{post['id']}/")
    text = (await groups.api.get("/metrics")).body.decode()
    assert 'route="/api/community/feed/{post_id}/"' in text
    assert str(post["id"]) not in text


async def test_schema_is_openapi_and_the_page_needs_no_other_host(api: Api) -> None:
    document = (await api.get("/api/schema/")).json
    assert document["openapi"].startswith("3.1")
    paths = {route.template for route in ROUTES}
    assert set(document["paths"]) == paths
    page = await api.get("/api/docs/")
    assert page.headers["Content-Type"].startswith("text/html")
    text = page.body.decode()
    assert "<script" not in text
    assert "src=" not in text
    for path in paths:
        assert path in text


async def test_s33_cors_is_an_exact_list(api: Api, deps: Deps) -> None:
    answer = await api.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = await api.send("OPTIONS", "/api/community/feed/", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert set(preflight.headers["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Those of all tests, with a web client on another host and an address of our own."""
    return replace(
        settings, cors_origins=("https://app.example.org",), public_url="https://cohort.example.org"
    )


async def test_s33_browser_is_let_in_when_its_origin_is_on_the_list(api: Api) -> None:
    origin = {"Origin": "https://app.example.org"}
    preflight = await api.send("OPTIONS", "/api/community/feed/", headers=origin)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    refused = await api.get("/api/community/feed/", headers=origin)
    assert refused.status == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "Origin" in refused.headers["Vary"]


async def test_s12_links_start_with_the_public_url_whatever_the_host_header_says(
    groups: Groups, mailbox: Mailbox
) -> None:
    trainer = await groups.trainer()
    forged = {"Host": "evil.example"}
    for _ in range(21):
        await trainer.write()
    listed = await trainer.get("/api/community/feed/", headers=forged)
    assert listed.json["next"].startswith("https://cohort.example.org/api/community/feed/?cursor=")
    await groups.api.post("/api/auth/users/reset_password/", {"email": trainer.email}, headers=forged)
    letter = await mailbox.letter_to(trainer.email, subject="Reset")
    assert "https://cohort.example.org/password/reset/confirm?uid=" in letter.text
    assert "evil" not in letter.text + letter.html


def test_route_is_refused_when_a_method_declares_nothing() -> None:
    with pytest.raises(TypeError, match="declares no roles"):

        class Careless(accounts.ApiHandler):
            async def get(self) -> None:
                self.reply({})

    with pytest.raises(TypeError, match="answers no method"):

        class Empty(accounts.ApiHandler):
            pass

    with pytest.raises(TypeError, match="routed twice"):
        check([*ROUTES, Route("/healthz", accounts.MeHandler, "again")])


def test_declaration_is_kept_on_the_method() -> None:
    declared = Endpoint(summary="x", roles=frozenset(), tag="x", answers={200: None})

    @endpoint(declared)
    async def get() -> None:
        """Nothing."""

    assert get.endpoint is declared  # type: ignore[attr-defined]


def test_settings_of_the_tests_are_read_from_nowhere_else(tmp_path) -> None:
    assert load_settings({"JWT_SECRET": SECRET, "DATA_DIR": str(tmp_path)}).environment == "development"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("BREW", {}),
        ("get", {}),
        ("POST", {"Content-Type": "multipart/form-data"}),
        ("DELETE", {}),
    ],
)
async def test_s35_nothing_is_found_with_whatever_method_or_body(
    api: Api, method: str, headers: dict[str, str]
) -> None:
    answer = await api.send(method, "/api/no/such/path/", raw=b"--\r\n", headers=headers)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "h2c"}, {"Upgrade": "websocket"}])
async def test_connection_is_used_again_when_a_request_without_a_body_was_refused(
    http_server: tuple[HTTPServer, int], headers: dict[str, str]
) -> None:
    with closing(HttpConnection(("127.0.0.1", http_server[1]))) as connection:
        for _ in range(3):
            answer = await connection.send("GET", "/api/community/feed/", headers=headers)
            assert answer.status == 401
            assert answer.headers.get("connection") != "close"
