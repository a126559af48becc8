"""What tests about money share: a Stripe double behind the real library, and a door with short time-outs."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.deps import Deps
from config.settings import Settings, load_settings
from tests.conftest import SECRET
from tests.support.ambassadors import KEY, Payees
from tests.support.clock import FakeClock
from tests.support.earnings import Earners
from tests.support.groups import Groups
from tests.support.limits import NO_LIMITS
from tests.support.mail import Mailbox
from tests.support.payment_deps import opened_deps
from tests.support.stripe_billing import BILLING_ROUTES
from tests.support.stripe_double import StripeDouble
from tests.support.stripe_events import TIERS, WEBHOOK_SECRET


@pytest.fixture
async def stripe(tmp_path: Path, clock: FakeClock) -> AsyncIterator[StripeDouble]:
    """A Stripe of this test's own; its clock is the test's."""
    async with StripeDouble(tmp_path / "stripe", clock.now, routes=list(BILLING_ROUTES)).serving() as double:
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
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SUBSCRIPTION_TIERS": TIERS,
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


@pytest.fixture
def payees(deps: Deps, stripe: StripeDouble) -> Payees:
    return Payees(deps, stripe)


@pytest.fixture
def earners(groups: Groups, deps: Deps, mailbox: Mailbox) -> Earners:
    return Earners(groups, deps, mailbox)
