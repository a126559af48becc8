"""Ambassadors' accounts at Stripe: which one is whose, and what it may do as far as is known here.

Nothing is asked of Stripe here; a row is there before its account is, so that there is never a second one.
"""

from datetime import datetime

from config.clock import Clock
from store.database import Database
from store.errors import Duplicate
from store.money_records import ConnectAccount


class ConnectAccounts:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._accounts = database.table("connect_accounts")

    async def open(self, ambassador_id: int, *, email: str) -> ConnectAccount:
        """Give an ambassador's row, made at the first call; of two calls at once, both get the same one."""
        document = {
            "_id": ambassador_id,
            "number": 1,
            "email": email,
            "stripe_account_id": None,
            "charges_enabled": False,
            "payouts_enabled": False,
            "details_submitted": False,
            "checked_at": None,
            "created_at": self._clock.now(),
        }
        try:
            await self._accounts.insert(document)
        except Duplicate:
            found = await self.get(ambassador_id)
            if found is None:
                raise
            return found
        return ConnectAccount.of(document)

    async def get(self, ambassador_id: int) -> ConnectAccount | None:
        document = await self._accounts.get({"_id": ambassador_id})
        return None if document is None else ConnectAccount.of(document)

    async def set_account(self, row: ConnectAccount, stripe_account_id: str) -> str:
        """Keep which account was made for a row, unless it has one. Gives the one it has then."""
        await self._accounts.update(
            {"_id": row.ambassador_id, "number": row.number, "stripe_account_id": None},
            {"$set": {"stripe_account_id": stripe_account_id}},
        )
        kept = await self.get(row.ambassador_id)
        return (kept and kept.stripe_account_id) or stripe_account_id

    async def begin_anew(self, row: ConnectAccount, *, email: str) -> None:
        """Use another key, and this address, for the next try: Stripe refused to make the account of this one."""
        await self._accounts.update(
            {"_id": row.ambassador_id, "number": row.number, "stripe_account_id": None},
            {"$set": {"email": email}, "$inc": {"number": 1}},
        )

    async def set_abilities(
        self,
        stripe_account_id: str,
        *,
        charges_enabled: bool,
        payouts_enabled: bool,
        details_submitted: bool,
        at: datetime,
    ) -> ConnectAccount | None:
        """Keep what an account could do at a time, unless something later is known. None for a strange account."""
        owned = {"stripe_account_id": stripe_account_id}
        await self._accounts.update(
            {**owned, "$or": [{"checked_at": None}, {"checked_at": {"$lte": at}}]},
            {
                "$set": {
                    "charges_enabled": charges_enabled,
                    "payouts_enabled": payouts_enabled,
                    "details_submitted": details_submitted,
                    "checked_at": at,
                }
            },
        )
        document = await self._accounts.get(owned)
        return None if document is None else ConnectAccount.of(document)
