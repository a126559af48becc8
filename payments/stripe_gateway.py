"""The only door to Stripe's library: orders become its calls, its answers and errors become ours.

Importing it takes 0.4 s, so ``payments.gateway_door`` does that when it is first needed. What a failure means for a
payout is decided elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NoReturn

import httpx
import stripe

from payments.gateway import (
    Account,
    GatewayBusy,
    GatewayDeclined,
    GatewayError,
    GatewayUnknown,
    Transfer,
    TransferOrder,
    account_of,
    transfer_of,
)

# For one connection and for one silence; a whole call has both, however the answer drips in.
CONNECT_FOR, READ_FOR = timedelta(seconds=5), timedelta(seconds=30)
# The most that Stripe lists at once.
LISTED = 100
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

# Called when the present request is written and its answer has not come.
_written: ContextVar[Callable[[], None] | None] = ContextVar("written", default=None)


class _Wire(stripe.HTTPClient):
    """How Stripe's library sends: by httpx, with our time-outs, and never twice."""

    name = "httpx"

    def __init__(self, read_for: timedelta) -> None:
        super().__init__()
        self._call_seconds = (CONNECT_FOR + read_for).total_seconds()
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=5, keepalive_expiry=30)
        timeout = httpx.Timeout(read_for.total_seconds(), connect=CONNECT_FOR.total_seconds())
        self._http = httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        written = _written.get()

        async def trace(event: str, _: object) -> None:
            if event == "http11.send_request_body.complete" and written is not None:
                written()

        try:
            async with asyncio.timeout(self._call_seconds):
                answer = await self._http.request(
                    method, url, headers=dict(headers), content=post_data, extensions={"trace": trace}
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise stripe.APIConnectionError(type(error).__name__) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        await self._http.aclose()


class StripeGateway:
    """Stripe, as one server with one key sees it."""

    def __init__(
        self, secret_key: str, *, api_base: str | None = None, read_for: timedelta = READ_FOR
    ) -> None:
        self._wire = _Wire(read_for)
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=self._wire,
        )

    async def close(self) -> None:
        await self._wire.close_async()

    async def create_transfer(
        self, order: TransferOrder, *, key: str, written: Callable[[], None]
    ) -> Transfer:
        token = _written.set(written)
        try:
            made = self._client.v1.transfers.create_async(
                {
                    "amount": order.cents,
                    "currency": order.currency,
                    "destination": order.destination,
                    "transfer_group": order.group,
                    "metadata": {"payout_id": str(order.payout_id)},
                },
                {"idempotency_key": key},
            )
            return transfer_of(await _answer(made))
        finally:
            _written.reset(token)

    async def transfers_of(self, group: str) -> Sequence[Transfer]:
        return await self._list(transfer_group=group)

    async def all_transfers(self) -> AsyncIterator[Transfer]:
        page = await self._list()
        while page:
            for each in page:
                yield each
            page = await self._list(starting_after=page[-1].id)

    async def _list(self, **where: Any) -> Sequence[Transfer]:
        # Any: the library's own type for it takes no keys that are not literal.
        wanted: Any = {"limit": LISTED, **where}
        listed = await _answer(self._client.v1.transfers.list_async(wanted))
        found = listed.get("data")
        if not isinstance(found, list):
            raise GatewayUnknown("not a list of transfers")
        return [transfer_of(each) for each in found]

    async def create_account(self, *, email: str, ambassador_id: int, key: str) -> Account:
        made = self._client.v1.accounts.create_async(
            _express_account(email, ambassador_id), {"idempotency_key": key}
        )
        return account_of(await _answer(made))

    async def get_account(self, account_id: str) -> Account:
        return account_of(await _answer(self._client.v1.accounts.retrieve_async(account_id)))

    async def create_account_link(self, account_id: str, *, refresh_url: str, return_url: str) -> str:
        made = self._client.v1.account_links.create_async(
            {
                "account": account_id,
                "type": "account_onboarding",
                "refresh_url": refresh_url,
                "return_url": return_url,
            }
        )
        url = (await _answer(made)).get("url")
        if not isinstance(url, str):
            raise GatewayUnknown("not an account link")
        return url

    async def create_customer(self, *, email: str, name: str, user_id: int, key: str) -> str:
        made = self._client.v1.customers.create_async(
            {"email": email, "name": name, "metadata": {"user_id": str(user_id)}}, {"idempotency_key": key}
        )
        return _text_of(await _answer(made), "id")

    async def create_checkout(self, customer_id: str, *, price_id: str, user_id: int, back_url: str) -> str:
        metadata = {"user_id": str(user_id)}
        made = self._client.v1.checkout.sessions.create_async(
            {
                "mode": "subscription",
                "customer": customer_id,
                "client_reference_id": str(user_id),
                "line_items": [{"price": price_id, "quantity": 1}],
                "metadata": metadata,
                "subscription_data": {"metadata": metadata},
                "success_url": f"{back_url}?checkout=success",
                "cancel_url": f"{back_url}?checkout=cancelled",
            }
        )
        return _text_of(await _answer(made), "url")

    async def create_portal(self, customer_id: str, *, back_url: str) -> str:
        made = self._client.v1.billing_portal.sessions.create_async(
            {"customer": customer_id, "return_url": back_url}
        )
        return _text_of(await _answer(made), "url")


def _text_of(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    if not isinstance(found, str) or not found:
        raise GatewayUnknown(f"an answer without {name}")
    return found


def _express_account(email: str, ambassador_id: int) -> Any:
    """What Stripe used to call an Express account and now describes by its properties.

    The platform pays fees and answers for losses, as it did with ``type=express``; the owner has Stripe's own
    small dashboard, and can receive transfers.
    """
    return {
        "email": email,
        "controller": {
            "stripe_dashboard": {"type": "express"},
            "fees": {"payer": "application"},
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
        },
        "capabilities": {"transfers": {"requested": True}},
        "metadata": {"ambassador_id": str(ambassador_id)},
    }


async def _answer(call: Awaitable[stripe.StripeObject]) -> Mapping[str, Any]:
    """Give what the library answers as plain dictionaries. Raises our own errors for its."""
    with _our_words():
        found: Mapping[str, Any] = (await call).to_dict()
        return found


@contextmanager
def _our_words() -> Iterator[None]:
    try:
        yield
    except stripe.APIConnectionError as error:
        if isinstance(error.__cause__, NEVER_SENT):
            raise GatewayBusy(f"no connection: {error}", is_clear=True) from error
        raise GatewayUnknown(f"no answer: {error}") from error
    except stripe.StripeError as error:
        _raise_for(error)


def _raise_for(error: stripe.StripeError) -> NoReturn:
    """Say what an answer that is an error means for its request."""
    status = error.http_status or 0
    raised: GatewayError
    if status == 409:
        raised = GatewayBusy("the key is in use", is_clear=False)
    elif status == 429:
        raised = GatewayBusy("too many requests", is_clear=True)
    elif 400 <= status < 500 and error.error is not None and error.error.type != "idempotency_error":
        raised = GatewayDeclined(error.user_message or "Stripe refused.", error.code)
    else:
        # 5xx, no JSON, somebody between us and Stripe, or this key with another request.
        raised = GatewayUnknown(f"status {status}: {type(error).__name__}")
    raise raised from error
