"""The ledger: every movement of money as one document that is written once, never changed and never deleted.

A movement takes from one account what it gives to another, so the books balance by construction; which movement
a fact causes is decided by those who record the fact, in the same transaction.
"""

from collections.abc import AsyncIterator, MutableMapping

from config.clock import Clock
from store.database import Database, Session
from store.ids import IdSource
from store.money_records import Movement

EXPENSE, SUSPENSE = "expense", "suspense"


def payable(ambassador_id: int) -> str:
    return f"payable:{ambassador_id}"


def in_flight(payout_id: int) -> str:
    return f"in_flight:{payout_id}"


def paid(stripe_account_id: str) -> str:
    return f"paid:{stripe_account_id}"


class Ledger:
    def __init__(self, database: Database, ids: IdSource, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._movements = database.table("movements")

    async def post(
        self, source: str, target: str, *, cents: int, kind: str, source_id: str, session: Session
    ) -> None:
        """Move ``cents`` from one account to another as part of a transaction; fewer than none go the other way.

        Nothing is written for none. Raises ``Duplicate("kind")`` where this was moved before.
        """
        if cents == 0:
            return
        if cents < 0:
            source, target, cents = target, source, -cents
        document = {
            "_id": self._ids.new(),
            "from": source,
            "to": target,
            "cents": cents,
            "kind": kind,
            "source_id": source_id,
            "at": self._clock.now(),
        }
        await self._movements.insert(document, session=session)

    async def balance(self, account: str) -> int:
        """Give what an account received less what it gave, in cents."""
        found = await self._movements.aggregate(
            [
                {"$match": {"$or": [{"to": account}, {"from": account}]}},
                {"$group": {"_id": {"$eq": ["$to", account]}, "cents": {"$sum": "$cents"}}},
            ]
        )
        sums = {each["_id"]: int(each["cents"]) for each in found}
        return sums.get(True, 0) - sums.get(False, 0)

    async def scan(self, session: Session | None = None) -> AsyncIterator[Movement]:
        """Walk through all movements: for the audit."""
        async for each in self._movements.scan({}, session=session):
            yield Movement.of(each)


def add_up(balances: MutableMapping[str, int], movement: Movement) -> None:
    """Apply a movement to balances by account."""
    balances[movement.source] = balances.get(movement.source, 0) - movement.cents
    balances[movement.target] = balances.get(movement.target, 0) + movement.cents
