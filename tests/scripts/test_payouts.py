"""The script: what it shows, what it pays, that it asks first, and what it says by its exit code."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.settings import load_settings
from scripts import payouts
from store.money_records import Payout
from tests.conftest import SECRET
from tests.payments.test_payouts import claimed
from tests.support import stripe_double as faults
from tests.support.ambassadors import KEY, Payees
from tests.support.clock import FakeClock
from tests.support.limits import NO_LIMITS
from tests.support.mail import Mailbox
from tests.support.payment_deps import opened_deps
from tests.support.stripe_double import StripeDouble
from tests.support.stripe_thread import StripeThread


@dataclass
class Terminal:
    """Runs the script with the tests' settings, and lets a test look at the same database."""

    env: dict[str, str]
    stripe: StripeDouble

    def run(self, *words: str, said: str = "") -> Result:
        return CliRunner().invoke(payouts.main, words, env=self.env, input=said)

    def json(self, *words: str, code: int = 0) -> Any:
        done = self.run(*words, "--json")
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    def make(self, work: Callable[[Payees], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            clock = FakeClock(self.stripe.now())
            settings = load_settings(self.env)
            async with opened_deps(settings, clock, Mailbox(), self.stripe) as deps:
                return await work(Payees(deps, self.stripe))

        return asyncio.run(run())


@pytest.fixture
def terminal(own_mongo_uri: str, tmp_path: Path) -> Iterator[Terminal]:
    with StripeThread(tmp_path / "stripe") as double:
        yield Terminal(
            {
                "MONGODB_URI": own_mongo_uri,
                "DATA_DIR": str(tmp_path),
                "JWT_SECRET": SECRET,
                "STRIPE_SECRET_KEY": KEY,
                "STRIPE_API_BASE": double.base_url,
                **NO_LIMITS,
            },
            double,
        )


def test_everybody_is_paid_after_the_sum_was_confirmed(terminal: Terminal) -> None:
    async def two(payees: Payees) -> list[int]:
        return [(await payees.ready(1_000)).id, (await payees.ready(550)).id]

    first, second = terminal.make(two)
    listed = terminal.json("list")
    assert [(each["ambassador_id"], each["amount"], each["can_be_paid"]) for each in listed] == [
        (first, "10.00", True),
        (second, "5.50", True),
    ]
    dry = terminal.run("run", "--all", "--dry-run")
    assert (dry.exit_code, terminal.stripe.transfers) == (0, [])
    assert "Nothing was paid. It would be 15.50 USD to 2 ambassadors." in dry.stderr
    refused = terminal.run("run", "--all", said="n\n")
    assert (refused.exit_code, terminal.stripe.transfers) == (1, [])
    assert "Pay 15.50 USD to 2 ambassadors?" in refused.stderr
    done = terminal.run("run", str(first), said="y\n")
    assert done.exit_code == 0, done.output
    assert "completed" in done.stdout
    assert [each["amount"] for each in terminal.stripe.transfers] == [1_000]
    rest = terminal.json("run", "--all", "--yes")
    assert [(each["ambassador_id"], each["outcome"]) for each in rest["results"]] == [(second, "completed")]
    # Once more is nothing more.
    assert terminal.json("run", "--all", "--yes")["results"] == []
    assert len(terminal.stripe.transfers) == 2
    audited = terminal.json("audit")
    assert (audited["ok"], audited["transfers"], audited["paid_cents"]) == (True, 2, 1_550)


def test_failures_are_told_by_name_and_exit_code(terminal: Terminal) -> None:
    async def three(payees: Payees) -> list[int]:
        poor = await payees.person()
        await payees.earn(poor.id, 5)
        return [(await payees.ready(1_000)).id, poor.id, (await payees.ready(300)).id]

    declined, without, lost = terminal.make(three)
    terminal.stripe.faults.extend([faults.DECLINED, faults.RESET_AFTER])
    outcome = terminal.json("run", "--all", "--yes", code=1)["results"]
    assert [(each["ambassador_id"], each["outcome"]) for each in outcome] == [
        (declined, "No."),
        (lost, "pending"),
    ]
    accounts = {each["ambassador_id"]: each["account"] for each in terminal.json("list")}
    assert accounts == {declined: "ready", without: "none", lost: "ready"}
    assert "restricted" not in terminal.run("list").stdout
    # Who was named is told why not.
    named = terminal.json("run", str(without), "--yes", code=1)["results"]
    assert [(each["ambassador_id"], each["outcome"]) for each in named] == [(without, "account: none")]
    assert terminal.run("show", "9" * 26).exit_code == 2
    (settled,) = terminal.json("reconcile")
    assert (settled["ambassador_id"], settled["state"]) == (lost, "COMPLETED")
    assert terminal.run("reconcile").exit_code == 0
    shown = terminal.json("show", str(settled["id"]))
    assert [each["action"] for each in shown["trail"]] == ["payout.claimed", "payout.completed"]
    assert re.fullmatch(r"terminal of .+@.+", shown["trail"][0]["origin"])
    text = terminal.run("show", str(settled["id"])).stdout
    assert "payout.completed" in text
    assert "3.00 (commission, PAID)" in text


def test_open_payout_stays_open_while_somebody_holds_it(terminal: Terminal) -> None:
    async def hold(payees: Payees) -> Payout:
        return await claimed(payees.deps, payees)

    payout = terminal.make(hold)
    done = terminal.run("reconcile", str(payout.id))
    assert done.exit_code == 1
    assert "CLAIMED" in done.stdout
    assert terminal.json("list")[0]["open_payout_id"] == payout.id
    assert str(payout.id) in terminal.run("list").stdout
    named = terminal.json("run", str(payout.ambassador_id), "--yes", code=1)["results"]
    assert [(each["payout_id"], each["outcome"]) for each in named] == [(payout.id, "a payout is open")]


def test_audit_fails_when_something_is_wrong(terminal: Terminal) -> None:
    async def tamper(payees: Payees) -> None:
        for _ in range(60):
            user = await payees.person()
            await payees.earn(user.id, 100)
        await payees.deps.store.database.raw["commissions"].update_many({}, {"$inc": {"cents": 1}})

    assert "Everything adds up." in terminal.run("audit").stdout
    terminal.make(tamper)
    done = terminal.run("audit", "--no-stripe")
    assert done.exit_code == 1
    assert "The ledger has" in done.stdout
    assert "and 11 more" in done.stdout
    assert not terminal.json("audit", code=1)["ok"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run"], 2, "Name ambassadors or give --all, and not both."),
        (["run", "5", "--all"], 2, "Name ambassadors or give --all, and not both."),
        (["run", "nobody"], 2, "is not a valid integer"),
        (["run", "5"], 1, "There is no ambassador 5."),
        (["show", "5"], 1, "There is no payout 5."),
        (["reconcile", "5"], 1, "There is no payout 5."),
    ],
)
def test_wrong_use_is_told(terminal: Terminal, words: list[str], code: int, said: str) -> None:
    done = terminal.run(*words)
    assert done.exit_code == code
    assert said in done.stderr


def test_nothing_is_paid_without_a_key(terminal: Terminal) -> None:
    terminal.make(lambda payees: payees.ready(100))
    keyless = Terminal({**terminal.env, "STRIPE_SECRET_KEY": ""}, terminal.stripe)
    assert keyless.json("run", "--all", "--yes", code=1)["results"][0]["outcome"].startswith(
        "Payments are not configured"
    )
    assert keyless.json("audit")["transfers"] is None


def test_interrupt_is_told_and_changes_nothing_for_good(
    terminal: Terminal,
) -> None:
    terminal.make(lambda payees: payees.ready(100))

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    terminal.stripe.chooser = None
    with pytest.raises(SystemExit) as ended:
        payouts._do(None, interrupted)
    assert ended.value.code == 1
