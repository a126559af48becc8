"""What an ambassador keeps: statements by month, and the dashboard, also while there are no newer figures.

How it is earned is in ``test_earnings``.
"""

import csv
import io
from datetime import timedelta

import pytest

from config.deps import Deps
from payments import dashboard
from store.commissions import NOTHING_EARNED, Commissions, Earned
from store.errors import StoreUnavailable
from store.referrals import NO_REFERRALS
from tests.support.clock import FakeClock
from tests.support.earnings import AMBASSADORS, Earners
from tests.support.stripe_events import event

DASHBOARD = "/api/ambassador/dashboard/"
STATEMENT = "/api/ambassador/statement/"


async def test_statement_tells_invoice_rate_rule_and_payout(earners: Earners, deps: Deps) -> None:
    ambassador, code = await earners.ambassador(await earners.admin())
    trainer = await earners.groups.trainer(referral_code=code)
    at = deps.clock.now()
    name = await earners.pay(trainer, at=at)
    await earners.pay(trainer, at=dashboard.months_before(at, 2) + timedelta(hours=1))
    month = f"{at:%Y-%m}"
    found = (await ambassador.get(f"{STATEMENT}?month={month}")).json
    assert (found["month"], found["total"]) == (month, "25.80")
    (line,) = found["lines"]
    assert (line["invoice"], line["commission_rate"], line["payout_record_id"]) == (name, "0.20", None)
    assert line["rule"] == "0.20 of the 129.00 that were paid"
    for ask in ({"headers": {"Accept": "text/csv"}}, {}):
        query = "" if ask else "&format=csv"
        table = await ambassador.get(f"{STATEMENT}?month={month}{query}", **ask)
        assert table.headers["Content-Type"].startswith("text/csv")
        (row,) = csv.DictReader(io.StringIO(table.body.decode()))
        assert (row["invoice"], row["commission_amount"], row["payout_record_id"]) == (name, "25.80", "")


async def test_statement_names_the_payout_that_paid(earners: Earners, deps: Deps) -> None:
    ambassador, code = await earners.ambassador(await earners.admin())
    trainer = await earners.groups.trainer(referral_code=code)
    await earners.pay(trainer)
    gateway = await deps.gateway()
    row = await deps.store.connect_accounts.open(ambassador.id, email=ambassador.email)
    account = await gateway.create_account(email=row.email, ambassador_id=ambassador.id, key="k")
    await deps.store.connect_accounts.set_account(row, account.id)
    await earners.tell(
        event(
            "account.updated",
            {"id": account.id, "payouts_enabled": True, "details_submitted": True},
            deps.clock.now(),
        )
    )
    admin = await earners.admin()
    paid = await admin.post(f"{AMBASSADORS}{ambassador.id}/payout/")
    assert paid.status == 200, paid.body
    month = f"{deps.clock.now():%Y-%m}"
    (line,) = (await ambassador.get(f"{STATEMENT}?month={month}")).json["lines"]
    assert line["status"] == "PAID"
    assert line["payout_record_id"] == paid.json["payout_record_id"]
    assert line["stripe_transfer_id"] == paid.json["stripe_transfer_id"]


@pytest.mark.parametrize(
    "query", ["", "month=2026-13", "month=2026-1", "month=26-01", "month=٢٠٢٦-01", "month=1999-01"]
)
async def test_month_that_is_none_is_refused(earners: Earners, query: str) -> None:
    ambassador, _ = await earners.ambassador(await earners.admin())
    answer = await ambassador.get(f"{STATEMENT}?{query}")
    assert (answer.status, set(answer.json)) == (400, {"month"})
    assert (await ambassador.get(f"{STATEMENT}?month=2026-01&format=pdf")).status == 400


class NoFigures(Commissions):
    """The database gives up adding."""

    async def earned(self, ambassador_ids: object) -> dict[int, Earned]:
        raise StoreUnavailable("too slow")


async def test_dashboard_shows_the_last_figures_when_there_are_no_newer_ones(
    earners: Earners, deps: Deps, clock: FakeClock
) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    newcomer, _ = await earners.ambassador(admin)
    trainer = await earners.groups.trainer(referral_code=code)
    await earners.pay(trainer)
    before = (await ambassador.get(DASHBOARD)).json
    since = clock.now()
    clock.advance(0.5)
    store = deps.store
    store.commissions = NoFigures(store.database, store.ledger, store.ids, clock)
    after = (await ambassador.get(DASHBOARD)).json
    assert after.pop("stale_since") == since.isoformat(timespec="milliseconds")[:23] + "Z"
    assert after == {name: value for name, value in before.items() if name != "stale_since"}
    with pytest.raises(StoreUnavailable):
        await dashboard.dashboard(deps, newcomer.id)


def test_figures_are_remembered_for_those_who_asked_lately(clock: FakeClock) -> None:
    figures = dashboard.Figures(
        referrals=NO_REFERRALS, earned=NOTHING_EARNED, months={}, recent=(), is_active=True, at=clock.now()
    )
    last = dashboard.LastFigures()
    for ambassador_id in range(dashboard.CAPACITY + 1):
        last.keep(ambassador_id, figures)
    assert last.get(0) is None
    assert last.get(1) is not None
