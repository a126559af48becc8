"""Which `Host` is ours, as a table and over HTTP and the socket, by a server that takes itself for production."""

from dataclasses import replace

import pytest
from tornado.httpclient import AsyncHTTPClient

from config.settings import Settings
from handlers.host_header import is_known
from tests.support.client import Api

OWN = {"Host": "Cohort.Example.org"}
FORGED = {"Host": "evil.example"}
SOCKET = "/ws/community/feed/"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, environment="production", public_url="https://cohort.example.org")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("cohort.example.org", True),
        ("COHORT.example.org:443", True),
        ("cohort.example.org:80", False),
        ("cohort.example.org:8000", False),
        ("cohort.example.org.evil.example", False),
        ("evil.example", False),
        ("127.0.0.1", False),
        ("[::1]", False),
        ("", False),
        ("cohort.example.org:", True),
        ("cohort.example.org:https", False),
        ("cohort.example.org:99999", False),
        ("[cohort.example.org", False),
        ("me@cohort.example.org", False),
        ("cohort.example.org/evil.example", False),
    ],
)
def test_s12_host_is_ours_when_it_names_the_public_url(settings: Settings, host: str, known: bool) -> None:
    assert is_known(host, settings) is known
    assert is_known(host, replace(settings, environment="development"))


def test_s12_port_counts_when_the_public_url_has_one(settings: Settings) -> None:
    there = replace(settings, public_url="http://localhost:8000")
    assert is_known("localhost:8000", there)
    assert not is_known("localhost", there)


@pytest.mark.parametrize("path", ["/api/auth/users/me/", "/api/schema/", "/media/posts/x.jpg"])
async def test_s12_request_is_refused_when_its_host_is_another(api: Api, path: str) -> None:
    for method in ("GET", "PUT", "OPTIONS"):
        refused = await api.send(method, path, headers=FORGED)
        assert (refused.status, refused.json["code"]) == (400, "unknown_host")
        assert (await api.send(method, path, headers=OWN)).status != 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_operators_may_ask_by_any_name(api: Api, path: str) -> None:
    assert (await api.get(path, headers=FORGED)).status == 200


async def test_s12_socket_is_refused_when_its_host_is_another(
    base_url: str, http_client: AsyncHTTPClient
) -> None:
    # The page that asks is of the same name, so its Origin alone would let it in.
    page = {**FORGED, "Origin": "https://evil.example", "Connection": "Upgrade", "Upgrade": "websocket"}
    refused = await http_client.fetch(base_url + SOCKET, headers=page, raise_error=False)
    assert refused.code == 400
    assert b"unknown_host" in refused.body
