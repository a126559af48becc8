"""What operators and their machines ask: is it alive, can it serve, how is it doing; and the contract itself."""

import asyncio
from typing import Any

from handlers.base import ApiHandler
from handlers.endpoint import PUBLIC, UNLIMITED, Endpoint, endpoint
from handlers.schemas import operators as schemas
from store.errors import StoreUnavailable

TAG = "Operators"


class HealthHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="The process answers.",
            roles=PUBLIC,
            tag=TAG,
            answers={200: schemas.Health()},
            rate=UNLIMITED,
            any_host=True,
        )
    )
    async def get(self) -> None:
        self.reply({"status": "ok"})


class ReadyHandler(ApiHandler):
    def initialize(self, *, tells_details: bool, **rest: Any) -> None:  # type: ignore[override]
        super().initialize(**rest)
        self.tells_details = tells_details

    @endpoint(
        Endpoint(
            summary="This instance can serve: its database answers, and it is not going away.",
            roles=PUBLIC,
            tag=TAG,
            answers={200: schemas.Readiness(), 503: schemas.Readiness()},
            rate=UNLIMITED,
            any_host=True,
        )
    )
    async def get(self) -> None:
        missing = []
        if self.deps.lifecycle.draining:
            missing.append("draining")
        try:
            await self.deps.store.database.ping()
        except StoreUnavailable:
            missing.append("database")
        status, says = (503, "unavailable") if missing else (200, "ready")
        if self.deps.realtime.is_degraded:
            # Events reach other instances a second or two late; everything is served all the same.
            missing.append("redis")
            says = "degraded" if says == "ready" else says
        self.reply({"status": says, "missing": missing if self.tells_details else None}, status=status)


class MetricsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Figures for Prometheus. Where operators have an address of their own they are there, and this "
            "is a 404.",
            roles=PUBLIC,
            tag=TAG,
            answers={200: None},
            errors=(404,),
            media="text/plain",
            rate=UNLIMITED,
            any_host=True,
        )
    )
    async def get(self) -> None:
        # Counted when somebody asks: walking over the tasks of 10,000 sockets takes some milliseconds.
        self.deps.metrics.tasks.set(len(asyncio.all_tasks()))
        body, content_type = self.deps.metrics.render()
        self.set_header("Content-Type", content_type)
        self.write(body)


class SchemaHandler(ApiHandler):
    def initialize(self, *, document: bytes, **rest: Any) -> None:  # type: ignore[override]
        super().initialize(**rest)
        self.document = document

    @endpoint(
        Endpoint(
            summary="This contract as an OpenAPI 3.1 document.",
            roles=PUBLIC,
            tag=TAG,
            answers={200: schemas.OpenApi()},
            cached=True,
        )
    )
    async def get(self) -> None:
        self.reply_bytes(self.document)


class DocsHandler(ApiHandler):
    def initialize(self, *, page: bytes, **rest: Any) -> None:  # type: ignore[override]
        super().initialize(**rest)
        self.page = page

    @endpoint(
        Endpoint(
            summary="This contract as a page to read.",
            roles=PUBLIC,
            tag=TAG,
            answers={200: None},
            media="text/html",
        )
    )
    async def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.write(self.page)
