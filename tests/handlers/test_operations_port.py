"""S48: operators have an address of their own, and the public one tells strangers no figures and no reasons."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from tornado.httpclient import AsyncHTTPClient

from config.deps import Deps
from handlers.routes import make_app, make_operations_app
from tests.support.client import Api
from tests.support.serving import serving


@pytest.fixture
def deps_with_port(deps: Deps) -> Deps:
    return dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, operations_port=9_000))


@pytest.fixture
async def public(deps_with_port: Deps, http_client: AsyncHTTPClient) -> AsyncIterator[Api]:
    async with serving(make_app(deps_with_port)) as (_, port):
        yield Api(f"http://127.0.0.1:{port}", http_client)


@pytest.fixture
async def inside(deps_with_port: Deps, http_client: AsyncHTTPClient) -> AsyncIterator[Api]:
    async with serving(make_operations_app(deps_with_port)) as (_, port):
        yield Api(f"http://127.0.0.1:{port}", http_client)


async def test_s48_public_port_tells_no_metrics_and_no_details(public: Api, deps: Deps) -> None:
    assert (await public.get("/metrics")).status == 404
    ready = await public.get("/readyz")
    assert (ready.status, ready.json) == (200, {"status": "ready", "missing": None})
    deps.lifecycle.draining = True
    gone = await public.get("/readyz")
    assert (gone.status, gone.json) == (503, {"status": "unavailable", "missing": None})


async def test_s48_operators_port_tells_all_that_and_nothing_else(
    inside: Api, deps: Deps, http_client: AsyncHTTPClient
) -> None:
    assert b"cohort_http_requests_total" in (await inside.get("/metrics")).body
    assert (await inside.get("/healthz")).status == 200
    deps.lifecycle.draining = True
    gone = await inside.get("/readyz")
    assert (gone.status, gone.json) == (503, {"status": "unavailable", "missing": ["draining"]})
    for path in ("/api/community/feed/", "/api/auth/users/me/", "/ws/community/feed/", "/api/schema/"):
        answer = await http_client.fetch(f"{inside.base_url}{path}", raise_error=False)
        assert answer.code == 404, path
