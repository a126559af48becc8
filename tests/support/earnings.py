"""Ambassadors who refer trainers, and trainers who pay, through the real interface and Stripe's webhook.

What comes of it is each test's own business.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from community.accounts import new_epoch
from config.deps import Deps
from payments.inbox import work_through
from store.records import ADMIN
from tests.support.client import Answer
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.mail import Mailbox
from tests.support.stripe_events import body_of, event, invoice, signature

AMBASSADORS = "/api/admin/ambassadors/"
WEBHOOK = "/api/payments/stripe/webhook/"


@dataclass
class Earners:
    groups: Groups
    deps: Deps
    mailbox: Mailbox

    async def admin(self) -> Person:
        email = f"{secrets.token_hex(6)}@example.org"
        user = await self.deps.store.users.add(
            email=email, password_hash=await self.deps.hashing.hash(PASSWORD), first_name="Ad", last_name="Min",
            role=ADMIN, timezone="UTC", epoch=new_epoch(),
        )  # fmt: skip
        return await self.groups.log_in(email, user_id=user.id, role=ADMIN)

    async def ambassador(self, admin: Person, **fields: Any) -> tuple[Person, str]:
        """Have an admin make an ambassador, who sets a password by the mailed link; gives their code as well."""
        email = f"{secrets.token_hex(6)}@example.org"
        body = {"email": email, "first_name": "Ama", "last_name": "Bassador", **fields}
        made = await admin.post(AMBASSADORS, body)
        assert made.status == 201, made.body
        uid, token = self.mailbox.link(await self.mailbox.letter_to(email))
        path = "/api/auth/users/reset_password_confirm/"
        body = {"uid": uid, "token": token, "new_password": PASSWORD}
        assert (await self.groups.api.post(path, body)).status == 204
        person = await self.groups.log_in(email, user_id=made.json["id"], role="AMBASSADOR")
        return person, made.json["referral_code"]

    async def tell(self, *events: dict[str, Any]) -> None:
        """Have Stripe tell what happened, and deal with it."""
        for each in events:
            assert (await self.send(each)).status == 200
        await work_through(self.deps)

    async def send(self, told: dict[str, Any], **options: Any) -> Answer:
        body = body_of(told)
        header = {"Stripe-Signature": signature(body, self.deps.clock.now(), **options)}
        return await self.groups.api.post(WEBHOOK, raw=body, headers=header)

    async def pay(self, trainer: Person, cents: int = 12_900, at: datetime | None = None) -> str:
        """A trainer has paid an invoice, whose id it gives."""
        name = f"in_{secrets.token_hex(6)}"
        at = at or self.deps.clock.now()
        found = invoice(name, cents, at, customer=f"cus_{trainer.id}", user_id=trainer.id)
        await self.tell(event("invoice.paid", found, at))
        return name
