"""A client of the REST interface that holds every answer against the published contract."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from handlers.openapi import build_document
from handlers.routes import ROUTES, VERSION
from tests.support.contract import Contract

CONTRACT = Contract(build_document(ROUTES, version=VERSION))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """``await api.post("/api/…", {"a": 1}, token=…)``; nothing is raised for a refusal."""

    def __init__(self, base_url: str, http: AsyncHTTPClient) -> None:
        self.base_url = base_url
        self._http = http

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        timeout: float = 20.0,
    ) -> Answer:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        url = path if path.startswith("http") else self.base_url + path
        request = HTTPRequest(
            url,
            method=method,
            headers=sent,
            body=content if content is not None or method in {"GET", "DELETE", "OPTIONS"} else b"",
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=timeout,
            decompress_response=True,
        )
        response = await self._http.fetch(request, raise_error=False)
        if response.code == 599:
            raise response.error or ConnectionError(f"{method} {path}: no answer")
        answer = Answer(response.code, response.headers, response.body or b"")
        CONTRACT.check(method, url.removeprefix(self.base_url), answer.status, answer.headers, answer.body)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.send("GET", path, **options)

    async def post(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.send("POST", path, body, **options)

    async def patch(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.send("PATCH", path, body, **options)

    async def put(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.send("PUT", path, body, **options)

    async def delete(self, path: str, body: object = None, **options: Any) -> Answer:
        return await self.send("DELETE", path, body, **options)
