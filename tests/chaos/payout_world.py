"""What the scenarios about payouts share: admins, ambassadors, a Stripe that keeps its own books, and the reckoning.

Which trouble is made is each scenario's own.
"""

import asyncio
import logging
import secrets
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from community.tokens import REFRESH_FOR
from config.deps import Deps
from config.settings import load_settings
from payments.audit import audit
from payments.crash_points import pass_by
from server import open_deps
from store.embedded import EmbeddedMongo
from store.records import ADMIN
from store.store import Store
from tests.chaos.frame import Report
from tests.support.ambassadors import KEY, Payees, QuickDoor
from tests.support.clock import FakeClock
from tests.support.population import CLOCK, JWT_SECRET, Member
from tests.support.stripe_double import StripeDouble

STRIPE = {"STRIPE_SECRET_KEY": KEY, "PAYOUT_LIMIT": "off", "PAYOUT_DAILY_LIMIT": "off"}


@dataclass
class World:
    """Ambassadors and what they have earned in all, by the runner's own count."""

    deps: Any
    stripe: StripeDouble
    earned: Counter[int] = field(default_factory=Counter)

    @property
    def payees(self) -> Payees:
        return Payees(self.deps, self.stripe)

    async def ambassadors(self, count: int) -> list[int]:
        return [(await self.payees.ready()).id for _ in range(count)]

    async def earn(self, ambassador_id: int, cents: int) -> None:
        await self.payees.earn(ambassador_id, cents)
        self.earned[ambassador_id] += cents

    async def admins(self, count: int) -> list[Member]:
        """So many admins who have just logged in."""
        return [await admin(self.deps.store) for _ in range(count)]

    async def reckon(self, report: Report) -> None:
        """Hold Stripe's ledger against ours, and both against what was earned: everything is paid, once."""
        transfers = self.stripe.transfers
        groups = Counter(each["transfer_group"] for each in transfers)
        report.none_of("double transfers", [group for group, count in groups.items() if count > 1])
        payouts = {each.group: each async for each in self.deps.store.payouts.scan()}
        wrong = [
            each["id"]
            for each in transfers
            if each["transfer_group"] not in payouts
            or payouts[each["transfer_group"]].cents != each["amount"]
        ]
        report.none_of("wrong amounts", wrong)
        report.none_of("open payouts", [each.group for each in payouts.values() if each.is_open])
        owners = {account["id"]: account["metadata"] for account in self.stripe.book.all("account")}
        received: Counter[int] = Counter()
        for each in transfers:
            received[int(owners[each["destination"]]["ambassador_id"])] += each["amount"]
        left = {owner: cents for owner, cents, _ in await self.deps.store.commissions.payable()}
        lost = [
            f"{owner}: earned {self.earned[owner]}, received {received[owner]}, {left.get(owner, 0)} left"
            for owner in self.earned
            if self.earned[owner] != received[owner] + left.get(owner, 0)
        ]
        report.none_of("lost commissions", lost)
        outcome = await audit(self.deps, with_stripe=True)
        report.none_of("findings of the audit", outcome.findings)
        differs = sum(each["amount"] for each in transfers) - outcome.paid_cents
        report.exactly("Stripe's ledger less ours", differs, 0, "cents")
        report.add("transfers", len(transfers), least=1)
        report.add("paid in all", outcome.paid_cents, "cents")


async def admin(store: Store) -> Member:
    user = await store.users.add(
        email=f"{secrets.token_hex(6)}@example.org",
        password_hash="",
        first_name="Ad",
        last_name="Min",
        role=ADMIN,
        timezone="UTC",
        epoch=secrets.token_hex(4),
    )
    now, session_id = CLOCK.now(), secrets.token_hex(16)
    await store.sessions.add(
        session_id=session_id,
        user_id=user.id,
        refresh_digest=session_id,
        at=now,
        expires_at=now + REFRESH_FOR,
    )
    return Member(user.id, session_id, user.id)


@asynccontextmanager
async def outside_world(store: Store, stripe: StripeDouble) -> AsyncIterator[World]:
    """The world of a runner whose servers are processes of their own."""
    gateway = QuickDoor(stripe.base_url, read_for=timedelta(seconds=10))
    yield World(SimpleNamespace(store=store, gateway=gateway, clock=CLOCK), stripe)
    await gateway.close()


@asynccontextmanager
async def inside_world() -> AsyncIterator[tuple[World, Deps, FakeClock]]:
    """The world of a runner that pays by itself, with a database of its own and a clock that jumps over its sleeps."""
    logging.getLogger("cohort").setLevel(logging.CRITICAL)
    clock = FakeClock(CLOCK.now())
    with tempfile.TemporaryDirectory(prefix="cohort-chaos-") as name:
        folder = Path(name)
        mongo = await asyncio.to_thread(EmbeddedMongo.start, folder / "database")
        settings = load_settings(
            {
                "MONGODB_URI": mongo.uri,
                "DATA_DIR": name,
                "JWT_SECRET": JWT_SECRET,
                "SMTP_URL": "",
                **STRIPE,
            }
        )
        try:
            async with (
                StripeDouble(folder / "stripe", clock.now).serving() as stripe,
                open_deps(settings, clock=clock) as opened,
            ):
                gateway = QuickDoor(stripe.base_url)
                deps = replace(opened, gateway=gateway, crash_point=pass_by)
                yield World(deps, stripe), deps, clock
                await gateway.close()
        finally:
            await asyncio.to_thread(mongo.stop)
