"""What this server asks of a payment service, in its own words: orders, answers, and the ways in which one fails.

Which service that is, and how it is spoken to, is the business of ``payments.stripe_gateway``.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from store.ids import MAX_ID

PAYOUT_GROUP = re.compile(r"payout-([0-9]{1,16})", re.ASCII)


class GatewayError(Exception):
    """Base of what can go wrong at the payment service; says what is known about the request."""


class GatewayDeclined(GatewayError):
    """It refused, in its own words: this request has done nothing. ``code`` is its word for machines, if any."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class GatewayBusy(GatewayError):
    """It did nothing for this request; the same one may be tried again.

    ``is_clear`` is False where that is because another request with this key may be under way.
    """

    def __init__(self, message: str, *, is_clear: bool) -> None:
        super().__init__(message)
        self.is_clear = is_clear


class GatewayUnknown(GatewayError):
    """The request may have been carried out or not: no answer, or none that can be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOrder:
    """So many cents to that account. ``group`` names the order at the payment service, and is its key."""

    cents: int
    currency: str
    destination: str
    group: str
    payout_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Money that was moved; ``reversed_cents`` of it came back."""

    id: str
    cents: int
    currency: str
    destination: str
    group: str | None
    reversed_cents: int

    @property
    def payout_id(self) -> int | None:
        """The payout whose group this is (``Payout.group``); None for a transfer that is none of ours."""
        match = PAYOUT_GROUP.fullmatch(self.group or "")
        return int(match[1]) if match and int(match[1]) <= MAX_ID else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that can be paid to, when its owner has proved who they are."""

    id: str
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool


def transfer_of(document: Mapping[str, Any]) -> Transfer:
    """Read a transfer as Stripe writes it. Raises ``GatewayUnknown`` for anything else."""
    try:
        destination = document["destination"]
        return Transfer(
            id=_text(document["id"]),
            cents=_cents(document["amount"]),
            currency=_text(document["currency"]),
            destination=_text(destination["id"] if isinstance(destination, Mapping) else destination),
            group=document.get("transfer_group"),
            reversed_cents=_cents(document.get("amount_reversed") or 0),
        )
    except (KeyError, TypeError) as error:
        raise GatewayUnknown(f"not a transfer: {error}") from error


def account_of(document: Mapping[str, Any]) -> Account:
    """Read an account as Stripe writes it. Raises ``GatewayUnknown`` for anything else."""
    try:
        return Account(
            id=_text(document["id"]),
            charges_enabled=document.get("charges_enabled") is True,
            payouts_enabled=document.get("payouts_enabled") is True,
            details_submitted=document.get("details_submitted") is True,
        )
    except (KeyError, TypeError) as error:
        raise GatewayUnknown(f"not an account: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no name")
    return value


def _cents(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number of cents")
    return value


class Gateway(Protocol):
    """The payment service. Every call raises ``GatewayDeclined``, ``GatewayBusy`` or ``GatewayUnknown``.

    A call with a ``key`` is carried out once, however often it is made with that key within a day.
    """

    async def create_transfer(
        self, order: TransferOrder, *, key: str, written: Callable[[], None]
    ) -> Transfer:
        """Move money. ``written`` is called when the request is on its way and the answer is not there yet."""

    async def transfers_of(self, group: str) -> Sequence[Transfer]:
        """Give all transfers of a group."""

    def all_transfers(self) -> AsyncIterator[Transfer]:
        """Walk through all transfers there are, newest first."""

    async def create_account(self, *, email: str, ambassador_id: int, key: str) -> Account:
        """Make an account that payouts can go to."""

    async def get_account(self, account_id: str) -> Account: ...

    async def create_account_link(self, account_id: str, *, refresh_url: str, return_url: str) -> str:
        """Give an address, good once and for minutes, where the owner of an account proves who they are."""

    async def create_customer(self, *, email: str, name: str, user_id: int, key: str) -> str:
        """Make a payer, and give its id."""

    async def create_checkout(self, customer_id: str, *, price_id: str, user_id: int, back_url: str) -> str:
        """Give an address where a payer subscribes. Nothing is paid before they have been there."""

    async def create_portal(self, customer_id: str, *, back_url: str) -> str:
        """Give an address where a payer sees bills, and changes or ends a subscription."""

    async def close(self) -> None: ...
