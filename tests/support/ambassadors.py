"""Ambassadors for tests, with accounts at the Stripe double and commissions: made through the store.

What is done with them is each test's own business.
"""

import itertools
import secrets
from dataclasses import dataclass
from datetime import timedelta

from config.deps import Deps
from payments.gateway import Gateway
from payments.gateway_door import GatewayDoor
from payments.stripe_gateway import StripeGateway
from store.audit import Initiator
from store.money_records import APPROVED, COMMISSION, Commission, CommissionDraft
from store.records import AMBASSADOR, User
from tests.support.stripe_double import StripeDouble

TERMINAL = Initiator(None, "terminal of tests")
SOURCES = itertools.count(1)
# Silences are short here: nobody waits 35 s for a time-out.
READ_FOR = timedelta(milliseconds=300)
KEY = "sk_test_double"


class QuickDoor(GatewayDoor):
    """The door to a double, by the real library, with a short time-out."""

    def __init__(self, api_base: str, *, read_for: timedelta = READ_FOR) -> None:
        self._quick = (api_base, read_for)
        self._gateway: Gateway | None = None

    @property
    def is_configured(self) -> bool:
        return True

    async def __call__(self) -> Gateway:
        if self._gateway is None:
            api_base, read_for = self._quick
            self._gateway = StripeGateway(KEY, api_base=api_base, read_for=read_for)
        return self._gateway


@dataclass
class Payees:
    """Makes ambassadors that can be paid."""

    deps: Deps
    stripe: StripeDouble

    async def person(self, *, password_hash: str = "") -> User:
        user = await self.deps.store.users.add(
            email=f"{secrets.token_hex(6)}@example.org",
            password_hash=password_hash,
            first_name="Ama",
            last_name="Bassador",
            role=AMBASSADOR,
            timezone="UTC",
            epoch=secrets.token_hex(4),
        )
        await self.deps.store.ambassadors.add(
            user.id, referral_code=secrets.token_hex(4).upper(), commission_rate="0.20"
        )
        return user

    async def ready(self, *cents: int, password_hash: str = "") -> User:
        """An ambassador with a verified account, and approved commissions of so many cents."""
        user = await self.person(password_hash=password_hash)
        await self.account(user)
        for each in cents:
            await self.earn(user.id, each)
        return user

    async def account(self, user: User) -> str:
        gateway = await self.deps.gateway()
        row = await self.deps.store.connect_accounts.open(user.id, email=user.email)
        made = await gateway.create_account(
            email=user.email, ambassador_id=user.id, key=f"acct-{user.id}-{row.number}"
        )
        await self.deps.store.connect_accounts.set_account(row, made.id)
        self.stripe.verify(made.id)
        return made.id

    async def earn(self, ambassador_id: int, cents: int, *, kind: str = COMMISSION) -> Commission:
        now = self.deps.clock.now()
        return await self.deps.store.commissions.record(
            CommissionDraft(
                referral_id=1,
                ambassador_id=ambassador_id,
                trainer_id=1,
                kind=kind,
                source_id=f"in_{secrets.token_hex(6)}_{next(SOURCES)}",
                commission_rate="0.20",
                base_cents=5 * cents,
                cents=cents,
                status=APPROVED,
                period_start=now,
                period_end=now + timedelta(days=30),
            )
        )
