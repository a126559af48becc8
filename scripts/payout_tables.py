"""How ``scripts.payouts`` shows things to people. What machines get is in the script itself."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from payments.audit import Outcome
from payments.money import amount_text
from store.money_records import Payout

# More lines help nobody at a terminal; --json has all.
SHOWN = 50


class DueRow(Protocol):
    @property
    def ambassador_id(self) -> int: ...
    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def cents(self) -> int: ...
    @property
    def commissions(self) -> int: ...
    @property
    def account(self) -> str: ...
    @property
    def open_payout_id(self) -> int | None: ...


class ResultRow(Protocol):
    @property
    def ambassador_id(self) -> int: ...
    @property
    def cents(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def is_paid(self) -> bool: ...
    @property
    def payout_id(self) -> int | None: ...
    @property
    def transfer_id(self) -> str | None: ...


def many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def due(rows: Sequence[DueRow]) -> Table:
    table = Table(caption=f"{amount_text(sum(each.cents for each in rows))} in all")
    table.add_column("ambassador", justify="right", no_wrap=True)
    table.add_column("name")
    table.add_column("e-mail", overflow="fold")
    table.add_column("amount", justify="right", style="bold", no_wrap=True)
    table.add_column("entries", justify="right")
    table.add_column("account")
    # Typed by people: an id that is cut is no id.
    table.add_column("open payout", justify="right", no_wrap=True)
    for each in rows:
        table.add_row(
            str(each.ambassador_id), each.name, each.email, amount_text(each.cents), str(each.commissions),
            each.account, str(each.open_payout_id or ""),
        )  # fmt: skip
    return table


def results(rows: Sequence[ResultRow]) -> Table:
    table = Table()
    table.add_column("ambassador", justify="right", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("outcome")
    table.add_column("payout", justify="right", no_wrap=True)
    table.add_column("transfer", overflow="fold")
    for each in rows:
        colour = "green" if each.is_paid else "yellow" if each.outcome == "pending" else "red"
        table.add_row(
            str(each.ambassador_id), amount_text(each.cents), f"[{colour}]{each.outcome}[/]",
            str(each.payout_id or ""), each.transfer_id or "",
        )  # fmt: skip
    return table


def payouts(rows: Sequence[Payout]) -> Table:
    table = Table(caption=many(len(rows), "payout"))
    table.add_column("payout", justify="right", no_wrap=True)
    table.add_column("ambassador", justify="right", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("state")
    table.add_column("transfer", overflow="fold")
    table.add_column("remark")
    for each in rows[:SHOWN]:
        table.add_row(
            str(each.id), str(each.ambassador_id), amount_text(each.cents), each.state, each.transfer_id or "",
            each.flag or each.error_message or "",
        )  # fmt: skip
    return table


def show_audit(outcome: Outcome, console: Console) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name in ("payouts", "commissions", "movements"):
        table.add_row(name, f"{getattr(outcome, name):,}")
    table.add_row(
        "transfers at Stripe", "not asked" if outcome.transfers is None else f"{outcome.transfers:,}"
    )
    for name in ("paid", "payable", "in_flight", "suspense"):
        table.add_row(name.replace("_", " "), amount_text(getattr(outcome, f"{name}_cents")))
    console.print(table)
    for each in outcome.findings[:SHOWN]:
        console.print(each, style="red", markup=False)
    if len(outcome.findings) > SHOWN:
        console.print(f"and {len(outcome.findings) - SHOWN} more; --json lists all", style="red")
    if not outcome.findings:
        console.print("Everything adds up.", style="green")


def show_payout(shown: Mapping[str, Any], console: Console) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column()
    for name, value in shown.items():
        if not isinstance(value, list) and value is not None:
            table.add_row(name, str(value))
    console.print(table)
    for each in shown["commissions"][:SHOWN]:
        console.print(f"  commission {each['id']}: {each['amount']} ({each['kind']}, {each['status']})")
    for each in shown["trail"]:
        who = each["user_id"] or "-"
        console.print(f"  {each['at']}  {each['action']}  user {who}, {each['origin']}", markup=False)
