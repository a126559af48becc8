"""What is asked about money uses its index, whatever else is in the collection; balances are sums of one account."""

from collections.abc import AsyncIterator

import pytest

from store.ledger import payable
from store.money_records import APPROVED
from store.pages import Cursor, PageRequest
from store.store import Store, open_store
from tests.store.test_indexes import profile
from tests.support.clock import FakeClock

OWN, OTHER = 1, 2


@pytest.fixture
async def store(own_mongo_uri: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Two ambassadors with three hundred commissions, payouts and movements each, and a few of special kinds."""
    async with open_store(own_mongo_uri, clock) as opened:
        raw, now = opened.database.raw, clock.now()
        rows = [(owner, owner * 1000 + number) for owner in (OWN, OTHER) for number in range(300)]
        common = {"currency": "usd", "user_id": None, "origin": "x", "transfer_id": None, "error_message": None,
                  "is_unclear": False, "first_sent_at": None, "absent_at": [], "reversed_cents": 0, "version": 1,
                  "lease_until": None, "settled_at": None, "created_at": now, "commission_ids": []}  # fmt: skip
        await raw["payouts"].insert_many(
            {**common, "_id": row, "ambassador_id": row if row % 100 == 7 else owner, "cents": 5, "destination": "x",
             "state": "SENDING" if row % 100 == 7 else "COMPLETED", "is_open": row % 100 == 7,
             "flag": "Look." if row % 100 == 9 else None}
            for owner, row in rows
        )  # fmt: skip
        await raw["commissions"].insert_many(
            {"_id": row, "referral_id": 1, "ambassador_id": owner, "trainer_id": 1, "kind": "commission",
             "source_id": str(row), "commission_rate": "0.2", "base_cents": 5, "cents": 1, "version": 1,
             "status": APPROVED if row % 10 == 3 else "PAID", "payout_id": None if row % 10 == 3 else row // 4,
             "period_start": now, "period_end": now, "created_at": now}
            for owner, row in rows
        )  # fmt: skip
        await raw["movements"].insert_many(
            {"_id": row, "from": "expense", "to": payable(owner), "cents": 2, "kind": "commission",
             "source_id": str(row), "at": now}
            for owner, row in rows
        )  # fmt: skip
        await raw["audit"].insert_many(
            {"_id": row, "at": now, "user_id": owner, "origin": "x", "action": f"x.{owner}",
             "subject": f"payout:{row // 5}", "details": {}}
            for owner, row in rows
        )  # fmt: skip
        yield opened
        await raw.client.drop_database(raw.name)


READS = {
    "payouts": lambda s: s.payouts.page(OWN, PageRequest()),
    "open payouts": lambda s: s.payouts.open(),
    "open payout": lambda s: s.payouts.open_of(1_007),
    "flagged payouts": lambda s: s.payouts.flagged(),
    "commissions": lambda s: s.commissions.page(OWN, PageRequest()),
    "what can be paid": lambda s: s.commissions.claimable(OWN),
    "what a payout pays": lambda s: s.commissions.of_payout(1_100 // 4),
    "trail": lambda s: s.audit.about("payout:210"),
    "trail, all": lambda s: s.audit.page(PageRequest()),
    "trail, a person's": lambda s: s.audit.page(PageRequest(20, Cursor(1_150)), user_id=OWN),
    "trail, a deed's": lambda s: s.audit.page(PageRequest(), action="x.1"),
}


@pytest.mark.parametrize("name", READS)
async def test_read_examines_what_it_returns_and_no_more(store: Store, name: str) -> None:
    reads = await profile(store, READS[name](store))
    assert reads
    for read in reads:
        assert "COLLSCAN" not in read["planSummary"], read["planSummary"]
        assert not read.get("hasSortStage")
        assert read["nreturned"] >= 1
        assert read["keysExamined"] <= 2 * read["nreturned"] + 1, (read["keysExamined"], read["nreturned"])


async def test_balance_is_what_came_less_what_went(store: Store) -> None:
    assert await store.ledger.balance(payable(OWN)) == 600
    assert await store.ledger.balance("expense") == -1_200
    assert await store.ledger.balance("suspense") == 0
    (read,) = await profile(store, store.ledger.balance(payable(OWN)))
    assert "COLLSCAN" not in read["planSummary"]
    assert read["keysExamined"] <= 2 * 300 + 2


async def test_what_is_owed_is_summed_by_ambassador(store: Store) -> None:
    assert await store.commissions.payable() == [(OWN, 30, 30), (OTHER, 30, 30)]
    (read,) = await profile(store, store.commissions.payable())
    assert "COLLSCAN" not in read["planSummary"]
