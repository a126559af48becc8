"""The real dependencies, but for time, mail, quick hashing, and Stripe, whose place a double takes.

Which people are in it, and what they do, is each test's own.
"""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from community.passwords import Hashing
from config.deps import Deps
from config.settings import Settings
from push.outbox import Outbox
from server import open_deps
from tests.support.ambassadors import QuickDoor
from tests.support.clock import FakeClock
from tests.support.mail import Mailbox
from tests.support.stripe_double import StripeDouble


@asynccontextmanager
async def opened_deps(
    settings: Settings, clock: FakeClock, mailbox: Mailbox, stripe: StripeDouble
) -> AsyncIterator[Deps]:
    with closing(Hashing(memory_kib=16)) as hashing:
        async with open_deps(settings, clock=clock, hashing=hashing) as opened:
            outbox = Outbox(mailbox, metrics=opened.metrics)
            await outbox.start()
            gateway = QuickDoor(stripe.base_url)
            yield dataclasses.replace(opened, push=outbox, gateway=gateway)
            await outbox.drain(5)
            await gateway.close()
