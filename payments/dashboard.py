"""What an ambassador sees of their own: figures, months, a message to share, and statements to keep.

What was earned is derived in ``payments.derivation``; here it is only added up.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from community.errors import Invalid
from config.deps import Deps
from payments.ambassadors import profile_of
from payments.referrals import list_referrals
from store.billing_records import Referral
from store.commissions import NOTHING_EARNED, Earned
from store.errors import StoreUnavailable
from store.money_records import Commission, Payout
from store.pages import PageRequest
from store.records import User
from store.referrals import NO_REFERRALS, ReferralCounts

MONTHS, RECENT = 6, 5
# Ambassadors whose last figures one process remembers; about 2 KB each.
CAPACITY = 1_000
BAD_MONTH = {"month": ["Use YYYY-MM, such as 2026-11."]}
# Before, there was no Cohort; later years would leave what dates can hold.
FIRST_YEAR, LAST_YEAR = 2020, 2099


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """``months`` are cents by month, oldest first. ``stale_since``: since then nothing newer could be computed."""

    referrals: ReferralCounts
    earned: Earned
    months: Mapping[str, int]
    recent: Sequence[tuple[Referral, User | None, int]]
    is_active: bool
    at: datetime
    stale_since: datetime | None = None


class LastFigures:
    """The last figures of those who asked lately, for when they cannot be computed."""

    def __init__(self) -> None:
        self._figures: OrderedDict[int, Figures] = OrderedDict()

    def keep(self, ambassador_id: int, figures: Figures) -> None:
        self._figures[ambassador_id] = figures
        self._figures.move_to_end(ambassador_id)
        if len(self._figures) > CAPACITY:
            self._figures.popitem(last=False)

    def get(self, ambassador_id: int) -> Figures | None:
        return self._figures.get(ambassador_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One entry, and the payout that pays it, if any has claimed it."""

    entry: Commission
    payout: Payout | None


async def dashboard(deps: Deps, ambassador_id: int) -> Figures:
    """Give an ambassador's figures; where they cannot be computed, the last known ones. Raises ``NotFound``."""
    try:
        figures = await _figures(deps, ambassador_id)
    except StoreUnavailable:
        last = deps.last_figures.get(ambassador_id)
        if last is None:
            raise
        return Figures(
            referrals=last.referrals,
            earned=last.earned,
            months=last.months,
            recent=last.recent,
            is_active=last.is_active,
            at=last.at,
            stale_since=last.at,
        )
    deps.last_figures.keep(ambassador_id, figures)
    return figures


async def _figures(deps: Deps, ambassador_id: int) -> Figures:
    now = deps.clock.now()
    profile = await profile_of(deps, ambassador_id)
    first = months_before(now, MONTHS - 1)
    by_month = await deps.store.commissions.earned_by_month(ambassador_id, first)
    names = [f"{months_before(now, back):%Y-%m}" for back in reversed(range(MONTHS))]
    recent = await list_referrals(deps, ambassador_id, PageRequest(size=RECENT), status=None)
    counts = await deps.store.referrals.counts([ambassador_id])
    earned = await deps.store.commissions.earned([ambassador_id])
    return Figures(
        referrals=counts.get(ambassador_id, NO_REFERRALS),
        earned=earned.get(ambassador_id, NOTHING_EARNED),
        months={name: by_month.get(name, 0) for name in names},
        recent=recent.items,
        is_active=profile.is_active,
        at=now,
    )


def months_before(at: datetime, months: int) -> datetime:
    """Give the beginning of the month (UTC) so many months before a time; before less than none comes later."""
    years, month = divmod(at.year * 12 + at.month - 1 - months, 12)
    return datetime(years, month + 1, 1, tzinfo=UTC)


def share_message(referral_code: str) -> str:
    """Give what an ambassador sends to trainers."""
    return f"Coach your clients with Cohort! Use my referral code {referral_code} when you register."


async def statement(deps: Deps, ambassador_id: int, month: str) -> Sequence[StatementLine]:
    """Give every entry whose period began in a month (``2026-11``), oldest first. Raises ``Invalid``."""
    since = _month_of(month)
    until = months_before(since, -1)
    entries = await deps.store.commissions.of_months(ambassador_id, since, until)
    wanted = {each.payout_id for each in entries if each.payout_id is not None}
    payouts = {each: await deps.store.payouts.get(each) for each in sorted(wanted)}
    return [
        StatementLine(entry=each, payout=payouts.get(each.payout_id) if each.payout_id is not None else None)
        for each in entries
    ]


def _month_of(text: str) -> datetime:
    year, dash, month = text.partition("-")
    good = len(year) == 4 and dash and len(month) == 2 and f"{year}{month}".isascii()
    if not good or not f"{year}{month}".isdigit():
        raise Invalid(BAD_MONTH)
    if not FIRST_YEAR <= int(year) <= LAST_YEAR or not 1 <= int(month) <= 12:
        raise Invalid(BAD_MONTH)
    return datetime(int(year), int(month), 1, tzinfo=UTC)
