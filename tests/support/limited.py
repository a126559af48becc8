"""Limits small enough to be met, whoever comes from wherever, and what a refusal must look like."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Iterable, Iterator
from ipaddress import ip_network

from config.settings import Settings
from config.values import Rate
from tests.support.client import Answer, Api

FEED = "/api/community/feed/"
LOG_IN = "/api/auth/jwt/create/"
MINUTE = 60


def small_limits(settings: Settings) -> Settings:
    """These settings with small limits, and this machine as a proxy, so that a test can come from anywhere."""
    return dataclasses.replace(
        settings,
        rate_limit_reads=Rate(20, MINUTE),
        rate_limit_writes=Rate(6, MINUTE),
        rate_limit_creates=Rate(4, MINUTE),
        rate_limit_auth=Rate(10, MINUTE),
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )


def assert_refused(answer: Answer, name: str, rate: Rate) -> int:
    """Hold a refusal against the contract, and give the seconds it tells to wait."""
    assert answer.status == 429, answer.body
    seconds = int(answer.headers["Retry-After"])
    unit = "second" if seconds == 1 else "seconds"
    detail = f"Request was throttled. Expected available in {seconds} {unit}."
    assert answer.json == {"detail": detail, "code": "throttled"}
    assert answer.headers["RateLimit"] == f'"{name}";r=0;t={seconds}'
    assert answer.headers["RateLimit-Policy"] == f'"{name}";q={rate.count};w={rate.seconds}'
    assert answer.headers["X-Request-ID"]
    return seconds


async def log_in(api: Api, email: str, address: str, password: str = "a guess of many") -> Answer:
    """Try to log in from an address, through the proxy."""
    body = {"email": email, "password": password}
    return await api.post(LOG_IN, body, headers={"X-Forwarded-For": address})


async def all_of(tries: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Send them, some at a time: clients and servers share one loop here."""
    gate = asyncio.Semaphore(20)

    async def one(each: Awaitable[Answer]) -> Answer:
        async with gate:
            return await each

    return await asyncio.gather(*(one(each) for each in tries))


def addresses(count: int) -> Iterator[str]:
    return (f"198.18.{number // 250}.{number % 250 + 1}" for number in range(count))
