"""The proof that the books are right: what must always be true of payouts, commissions, the ledger, and Stripe.

It reads one snapshot of the database, so it can run at any time; it changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from config.deps import Deps
from payments.gateway import Gateway, GatewayError, Transfer
from payments.money import amount_text
from store.ledger import EXPENSE, SUSPENSE, add_up, in_flight, paid, payable
from store.money_records import APPROVED, COMPLETED, FAILED, PAID, REVERSED, Commission, Movement, Payout
from store.payouts import day_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was looked at, and a sentence for everything that is wrong."""

    payouts: int
    commissions: int
    movements: int
    transfers: int | None
    paid_cents: int
    payable_cents: int
    in_flight_cents: int
    suspense_cents: int
    findings: Sequence[str]


@dataclass(slots=True)
class _Books:
    """What the documents say the ledger should say, and what it does say."""

    payouts: dict[int, Payout] = field(default_factory=dict)
    expected: Counter[str] = field(default_factory=Counter)
    actual: Counter[str] = field(default_factory=Counter)
    claimed_cents: Counter[int] = field(default_factory=Counter)
    claimed_count: Counter[int] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    commissions: int = 0
    movements: int = 0
    findings: list[str] = field(default_factory=list)

    def add_payout(self, payout: Payout) -> None:
        self.payouts[payout.id] = payout
        if payout.state != FAILED:
            self.days[day_of(payout.created_at)] += payout.cents
        if payout.is_open:
            self.expected[in_flight(payout.id)] += payout.cents
        if payout.state == COMPLETED:
            self.expected[paid(payout.destination)] += payout.cents - payout.reversed_cents
            self.expected[SUSPENSE] += payout.reversed_cents
            if payout.transfer_id is None:
                self.findings.append(f"{payout.group} is completed without a transfer.")

    def add_commission(self, commission: Commission) -> None:
        self.commissions += 1
        if commission.payout_id is not None:
            self._add_claimed(commission, commission.payout_id)
        elif commission.status == PAID:
            self.findings.append(f"Commission {commission.id} is PAID by no payout.")
        if commission.status == REVERSED:
            return
        self.expected[EXPENSE] -= commission.cents
        if commission.payout_id is None:
            self.expected[payable(commission.ambassador_id)] += commission.cents

    def _add_claimed(self, commission: Commission, payout_id: int) -> None:
        self.claimed_cents[payout_id] += commission.cents
        self.claimed_count[payout_id] += 1
        payout = self.payouts.get(payout_id)
        wanted = None
        if payout is not None and payout.ambassador_id == commission.ambassador_id:
            wanted = PAID if payout.state == COMPLETED else APPROVED if payout.is_open else None
        if commission.status != wanted:
            said = "none" if payout is None else payout.state
            self.findings.append(
                f"Commission {commission.id} is {commission.status} in payout {payout_id} ({said})."
            )

    def add_movement(self, movement: Movement) -> None:
        self.movements += 1
        add_up(self.actual, movement)

    def check_days(self, kept: Mapping[str, int]) -> None:
        """Hold the sums of days, which the daily limit goes by, against the payouts."""
        for day in sorted(self.days.keys() | kept.keys()):
            if self.days[day] != kept.get(day, 0):
                self.findings.append(
                    f"The sum of {day} is kept as {amount_text(kept.get(day, 0))}, and its payouts come to"
                    f" {amount_text(self.days[day])}."
                )

    def check(self) -> None:
        """Collect what differs. Debit equals credit whatever happens: each movement is one document of both."""
        owners: Counter[int] = Counter()
        for payout in self.payouts.values():
            if payout.state == FAILED:
                continue
            owners.update(payout.commission_ids)
            claimed = (self.claimed_cents[payout.id], self.claimed_count[payout.id])
            if claimed != (payout.cents, len(payout.commission_ids)):
                self.findings.append(
                    f"{payout.group} is {amount_text(payout.cents)} for {len(payout.commission_ids)}"
                    f" commissions, and {claimed[1]} of {amount_text(claimed[0])} carry its id."
                )
        twice = [each for each, count in owners.items() if count > 1]
        self.findings += [f"Commission {each} is in more than one payout." for each in twice]
        used = Counter(each.transfer_id for each in self.payouts.values() if each.transfer_id is not None)
        self.findings += [f"{each} paid more than one payout." for each, count in used.items() if count > 1]
        for account in sorted(self.expected.keys() | self.actual.keys()):
            if self.expected[account] != self.actual[account]:
                self.findings.append(
                    f"The ledger has {amount_text(self.actual[account])} in {account}, and the documents say"
                    f" {amount_text(self.expected[account])}."
                )

    def total(self, prefix: str) -> int:
        return sum(cents for account, cents in self.actual.items() if account.startswith(prefix))


async def audit(deps: Deps, *, with_stripe: bool) -> Outcome:
    """Hold payouts, commissions and ledger against one another, and against Stripe if wanted."""
    books = _Books()
    async with deps.store.database.snapshot() as session:
        async for payout in deps.store.payouts.scan(session):
            books.add_payout(payout)
        async for commission in deps.store.commissions.scan(session):
            books.add_commission(commission)
        async for movement in deps.store.ledger.scan(session):
            books.add_movement(movement)
        books.check_days(await deps.store.payouts.days(session))
    books.check()
    transfers = await _ask_stripe(deps, books) if with_stripe else None
    return Outcome(
        payouts=len(books.payouts),
        commissions=books.commissions,
        movements=books.movements,
        transfers=transfers,
        paid_cents=books.total("paid:"),
        payable_cents=books.total("payable:"),
        in_flight_cents=books.total("in_flight:"),
        suspense_cents=books.total(SUSPENSE),
        findings=books.findings,
    )


async def _ask_stripe(deps: Deps, books: _Books) -> int:
    """Hold each payout against its transfers; gives how many there are.

    Payouts go on meanwhile, so whatever looks wrong is read once more before it is told.
    """
    gateway = await deps.gateway()
    found: dict[int, list[Transfer]] = {}
    try:
        async for transfer in gateway.all_transfers():
            if transfer.payout_id is not None:
                found.setdefault(transfer.payout_id, []).append(transfer)
        for payout_id in sorted(found.keys() | books.payouts.keys()):
            if _compare(books.payouts.get(payout_id), found.get(payout_id, [])):
                books.findings += await _look_again(deps, gateway, payout_id)
    except GatewayError as error:
        books.findings.append(f"Stripe could not be asked: {error}")
    return sum(len(each) for each in found.values())


async def _look_again(deps: Deps, gateway: Gateway, payout_id: int) -> Iterable[str]:
    transfers = await gateway.transfers_of(f"payout-{payout_id}")
    return [
        f"payout-{payout_id}: {each}" for each in _compare(await deps.store.payouts.get(payout_id), transfers)
    ]


def _compare(payout: Payout | None, transfers: Sequence[Transfer]) -> list[str]:
    """What is wrong between a payout and what Stripe has for it."""
    if payout is None:
        return [f"Stripe has {each.id} for it, and there is no such payout." for each in transfers]
    wrong: list[str] = []
    if len(transfers) > 1:
        wrong.append(f"Stripe has {len(transfers)} transfers for it.")
    if payout.state == FAILED and transfers:
        wrong.append(f"it failed, and Stripe has {transfers[0].id} for it.")
    if payout.state == COMPLETED and payout.transfer_id not in {each.id for each in transfers}:
        wrong.append(f"it is completed, and Stripe does not have {payout.transfer_id} for it.")
    wrong += [
        f"{each.id} is {amount_text(each.cents)} to {each.destination}, not {amount_text(payout.cents)}"
        f" to {payout.destination}."
        for each in transfers
        if (each.cents, each.destination) != (payout.cents, payout.destination)
    ]
    return wrong
