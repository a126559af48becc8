"""What tests about money share: a Stripe double behind the real library, and a door with short time-outs."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from community.passwords import Hashing
from config.deps import Deps
from config.settings import Settings, load_settings
from push.outbox import Outbox
from server import open_deps
from tests.conftest import SECRET
from tests.support.ambassadors import KEY, Payees, QuickDoor
from tests.support.clock import FakeClock
from tests.support.limits import NO_LIMITS
from tests.support.mail import Mailbox
from tests.support.stripe_double import StripeDouble


@pytest.fixture
async def stripe(tmp_path: Path, clock: FakeClock) -> AsyncIterator[StripeDouble]:
    """A Stripe of this test's own; its clock is the test's."""
    async with StripeDouble(tmp_path / "stripe", clock.now).serving() as double:
        yield double


@pytest.fixture
def settings(mongo_uri: str, tmp_path: Path) -> Settings:
    return load_settings(
        {
            "MONGODB_URI": mongo_uri,
            "DATA_DIR": str(tmp_path),
            "PORT": "0",
            "JWT_SECRET": SECRET,
            "STRIPE_SECRET_KEY": KEY,
            "PAYOUT_DAILY_LIMIT": "off",
            **NO_LIMITS,
        }
    )


@pytest.fixture
async def deps(
    settings: Settings, clock: FakeClock, mailbox: Mailbox, stripe: StripeDouble
) -> AsyncIterator[Deps]:
    """The real dependencies, but for time, mail, quick hashing, and Stripe's address."""
    async with opened_deps(settings, clock, mailbox, stripe) as opened:
        yield opened


@pytest.fixture
async def own_deps(
    settings: Settings, own_mongo_uri: str, clock: FakeClock, mailbox: Mailbox, stripe: StripeDouble
) -> AsyncIterator[Deps]:
    """The same on a database of this test's own, for what looks at all of it."""
    own = dataclasses.replace(settings, mongodb_uri=own_mongo_uri)
    async with opened_deps(own, clock, mailbox, stripe) as opened:
        yield opened
        raw = opened.store.database.raw
        await raw.client.drop_database(raw.name)


@asynccontextmanager
async def opened_deps(
    settings: Settings, clock: FakeClock, mailbox: Mailbox, stripe: StripeDouble
) -> AsyncIterator[Deps]:
    async with open_deps(settings, clock=clock) as opened:
        hashing = Hashing(memory_kib=16)
        outbox = Outbox(mailbox, metrics=opened.metrics)
        await outbox.start()
        gateway = QuickDoor(stripe.base_url)
        yield dataclasses.replace(opened, hashing=hashing, push=outbox, gateway=gateway)
        await outbox.drain(5)
        await gateway.close()
        hashing.close()


@pytest.fixture
def payees(deps: Deps, stripe: StripeDouble) -> Payees:
    return Payees(deps, stripe)
