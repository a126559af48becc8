"""``python -m scripts.payouts``: who can be paid what, paying it, settling what was left open, and the audit.

What each does, and why it may be done twice, by two people, or be interrupted, is in ``payments``.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from community.errors import DomainError, NotFound
from community.present import optional_timestamp, timestamp
from config.deps import Deps
from payments import present
from payments.audit import Outcome, audit
from payments.gateway import GatewayError
from payments.money import amount_text
from payments.pay_out import pay_out
from payments.reconcile import reconcile, reconcile_all
from scripts import payout_tables
from scripts.session import (
    CONTEXT,
    DONE,
    FAILED,
    fail,
    print_json,
    run,
    terminal,
    with_data_dir,
    with_json,
)
from store.audit import Initiator
from store.ids import MAX_ID
from store.money_records import ConnectAccount, Payout
from store.payouts import payout_subject
from store.records import AMBASSADOR

T = TypeVar("T")
Id = click.IntRange(1, MAX_ID)
INTERRUPTED = (
    "Interrupted. What was begun is settled by the server within minutes, or by `payouts reconcile`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What an ambassador can be paid now, and whether they can be."""

    ambassador_id: int
    email: str = ""
    name: str = ""
    cents: int = 0
    commissions: int = 0
    account: str = ""
    open_payout_id: int | None = None

    @property
    def hindrance(self) -> str:
        """Why they cannot be paid now, or "", as far as is known here; Stripe is asked when it is their turn."""
        if self.open_payout_id is not None and self.cents <= 0:
            return "a payout is open"
        if self.cents <= 0:
            return "nothing to pay out"
        return "" if self.account in {"ready", "unchecked"} else f"account: {self.account}"

    @property
    def can_be_paid(self) -> bool:
        return not self.hindrance


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How paying one ambassador went: ``completed``, ``pending``, or why not."""

    ambassador_id: int
    cents: int
    outcome: str
    payout_id: int | None
    transfer_id: str | None

    @property
    def is_paid(self) -> bool:
        return self.outcome == "completed"


@click.group(context_settings=CONTEXT)
def main() -> None:
    """Pay ambassadors, and prove that it was done right. Every command can be run again, and by two at once."""


def _do(data_dir: Path | None, work: Callable[[Deps], Awaitable[T]]) -> T:
    try:
        return run(data_dir, work)
    except KeyboardInterrupt:
        fail(INTERRUPTED)
    except GatewayError as error:
        fail(f"Stripe: {error}")


def _initiator() -> Initiator:
    return Initiator(None, terminal())


@main.command("list", context_settings=CONTEXT)
@with_data_dir
@with_json
def list_due(*, data_dir: Path | None, as_json: bool) -> None:
    """List who can be paid what now, who owes something, and what is still open."""
    due = _do(data_dir, _due)
    if as_json:
        print_json([_due_json(each) for each in due])
    else:
        Console(highlight=False).print(payout_tables.due(due))


async def _due(deps: Deps) -> list[Due]:
    owed = {owner: (cents, count) for owner, cents, count in await deps.store.commissions.payable()}
    still_open = {each.ambassador_id: each for each in await deps.store.payouts.open()}
    people = await deps.store.users.some(sorted(owed.keys() | still_open.keys()))
    found: list[Due] = []
    for owner in sorted(owed.keys() | still_open.keys()):
        row = await deps.store.connect_accounts.get(owner)
        person = people.get(owner)
        cents, count = owed.get(owner, (0, 0))
        found.append(
            Due(
                ambassador_id=owner,
                email=person.email if person else "",
                name=f"{person.first_name} {person.last_name}".strip() if person else "",
                cents=cents,
                commissions=count,
                account=_account(row),
                open_payout_id=still_open[owner].id if owner in still_open else None,
            )
        )
    return found


def _account(row: ConnectAccount | None) -> str:
    if row is None or row.stripe_account_id is None:
        return "none"
    if row.checked_at is None:
        return "unchecked"
    return "ready" if row.payouts_enabled else "restricted"


def _due_json(due: Due) -> dict[str, object]:
    return {**asdict(due), "amount": amount_text(due.cents), "can_be_paid": due.can_be_paid}


@main.command("run", context_settings=CONTEXT)
@click.argument("ambassador_ids", type=Id, nargs=-1, metavar="[AMBASSADOR_ID]…")
@click.option("--all", "everybody", is_flag=True, help="Everybody who can be paid.")
@click.option("--dry-run", is_flag=True, help="Show what would be paid, and pay nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_data_dir
@with_json
def run_payouts(
    *,
    ambassador_ids: tuple[int, ...],
    everybody: bool,
    dry_run: bool,
    yes: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Pay the named ambassadors, or --all, what they are owed.

    The sum is shown and asked about first; whoever is owed another sum by the time it is their turn is left out.
    The exit code is 1 if anybody was not paid for certain.
    """
    if bool(ambassador_ids) == everybody:
        raise click.UsageError("Name ambassadors or give --all, and not both.")
    console = Console(stderr=True, highlight=False)
    chosen, currency = _do(data_dir, lambda deps: _chosen(deps, set(ambassador_ids)))
    due = [each for each in chosen if each.can_be_paid]
    # Those who were named and cannot be paid are told, and count as not paid.
    results = [_not_paid(each) for each in chosen if not each.can_be_paid]
    console.print(payout_tables.due(chosen))
    said = f"{amount_text(sum(each.cents for each in due))} {currency.upper()}"
    said = f"{said} to {payout_tables.many(len(due), 'ambassador')}"
    if dry_run:
        console.print(f"Nothing was paid. It would be {said}.")
    elif not due:
        console.print("Nothing was paid: there is nobody to pay.")
    else:
        # Asked between two runs, so that nothing is open while somebody thinks; Ctrl-C ends it here at once.
        if not yes and not click.confirm(f"Pay {said}?", err=True):
            fail("Nothing was paid.")
        results += _do(data_dir, lambda deps: _pay_all(deps, due, console))
    if as_json:
        print_json({"dry_run": dry_run, "results": [_result_json(each) for each in results]})
    elif results:
        Console(highlight=False).print(payout_tables.results(results))
    sys.exit(DONE if all(each.is_paid for each in results) else FAILED)


async def _pay_all(deps: Deps, due: Sequence[Due], console: Console) -> list[Result]:
    results: list[Result] = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Paying", total=len(due))
        for each in due:
            results.append(await _pay(deps, each))
            bar.advance(task)
    return results


async def _chosen(deps: Deps, named: set[int]) -> tuple[list[Due], str]:
    """Those that were named, or all that can be paid, and the currency. Raises ``NotFound`` for a name that is nobody's."""
    for ambassador_id in sorted(named):
        user = await deps.store.users.get(ambassador_id)
        if user is None or user.role != AMBASSADOR:
            raise NotFound(f"There is no ambassador {ambassador_id}.")
    due = {each.ambassador_id: each for each in await _due(deps)}
    if not named:
        return [each for each in due.values() if each.can_be_paid], deps.settings.currency
    chosen = [due.get(each, Due(ambassador_id=each)) for each in sorted(named)]
    return chosen, deps.settings.currency


def _not_paid(due: Due) -> Result:
    return Result(
        ambassador_id=due.ambassador_id,
        cents=due.cents,
        outcome=due.hindrance,
        payout_id=due.open_payout_id,
        transfer_id=None,
    )


async def _pay(deps: Deps, due: Due) -> Result:
    payout: Payout | None = None
    try:
        payout = await pay_out(deps, _initiator(), due.ambassador_id, expected_cents=due.cents)
        outcome = str(present.payout(payout)["status"])
    except DomainError as error:
        outcome = error.detail
    return Result(
        ambassador_id=due.ambassador_id,
        cents=payout.cents if payout else due.cents,
        outcome=outcome,
        payout_id=payout.id if payout else None,
        transfer_id=payout.transfer_id if payout else None,
    )


def _result_json(result: Result) -> dict[str, object]:
    return {**asdict(result), "amount": amount_text(result.cents)}


@main.command("reconcile", context_settings=CONTEXT)
@click.argument("payout_id", type=Id, required=False)
@with_data_dir
@with_json
def reconcile_payouts(*, payout_id: int | None, data_dir: Path | None, as_json: bool) -> None:
    """Settle open payouts (or the one that is named) by asking Stripe. The exit code is 1 if some stay open."""

    async def work(deps: Deps) -> Sequence[Payout]:
        if payout_id is None:
            return [each async for each in reconcile_all(deps, by=_initiator())]
        return [await reconcile(deps, await _payout(deps, payout_id), by=_initiator())]

    settled = _do(data_dir, work)
    if as_json:
        print_json([_payout_json(each) for each in settled])
    else:
        Console(highlight=False).print(payout_tables.payouts(settled))
    sys.exit(FAILED if any(each.is_open for each in settled) else DONE)


async def _payout(deps: Deps, payout_id: int) -> Payout:
    payout = await deps.store.payouts.get(payout_id)
    if payout is None:
        raise NotFound(f"There is no payout {payout_id}.")
    return payout


def _payout_json(payout: Payout) -> dict[str, object]:
    return {
        **present.payout(payout),
        "state": payout.state,
        "ambassador_id": payout.ambassador_id,
        "destination": payout.destination,
        "first_sent_at": optional_timestamp(payout.first_sent_at),
        "settled_at": optional_timestamp(payout.settled_at),
        "reversed": amount_text(payout.reversed_cents),
        "flag": payout.flag,
    }


@main.command("audit", context_settings=CONTEXT)
@click.option(
    "--stripe/--no-stripe", "with_stripe", default=None, help="Ask Stripe, too.  [if there is a key]"
)
@with_data_dir
@with_json
def audit_payouts(*, with_stripe: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """Hold payouts, commissions, ledger and Stripe against one another. The exit code is 1 if anything is wrong."""

    async def work(deps: Deps) -> Outcome:
        return await audit(
            deps, with_stripe=deps.gateway.is_configured if with_stripe is None else with_stripe
        )

    outcome = _do(data_dir, work)
    if as_json:
        print_json({"ok": not outcome.findings, **asdict(outcome)})
    else:
        payout_tables.show_audit(outcome, Console(highlight=False))
    sys.exit(FAILED if outcome.findings else DONE)


@main.command("show", context_settings=CONTEXT)
@click.argument("payout_id", type=Id)
@with_data_dir
@with_json
def show_payout(*, payout_id: int, data_dir: Path | None, as_json: bool) -> None:
    """Show all that is known about a payout: its state, its commissions, and who did what."""

    async def work(deps: Deps) -> dict[str, object]:
        payout = await _payout(deps, payout_id)
        return {
            **_payout_json(payout),
            "commissions": [
                {"id": each.id, "amount": amount_text(each.cents), "kind": each.kind, "status": each.status}
                for each in await deps.store.commissions.of_payout(payout_id)
            ],
            "trail": [
                {
                    "at": timestamp(each.at),
                    "action": each.action,
                    "user_id": each.user_id,
                    "origin": each.origin,
                }
                for each in await deps.store.audit.about(payout_subject(payout_id))
            ],
        }

    shown = _do(data_dir, work)
    if as_json:
        print_json(shown)
    else:
        payout_tables.show_payout(shown, Console(highlight=False))


if __name__ == "__main__":
    main()
