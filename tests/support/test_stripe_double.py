"""The double does what Stripe does: a key is honoured for a day, a refusal is none's, and its books outlive it."""

from pathlib import Path

import httpx
import pytest

from tests.support.ambassadors import KEY
from tests.support.clock import FakeClock
from tests.support.stripe_double import ERROR_KEPT_AFTER, StripeDouble

HEADERS = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"}
ORDER = {"amount": "500", "currency": "usd", "transfer_group": "g"}


async def ask(double: StripeDouble, path: str, **form: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=double.base_url, trust_env=False) as http:
        return await http.post(path, data=form, headers=HEADERS)


def with_account(folder: Path, clock: FakeClock) -> tuple[StripeDouble, str]:
    double = StripeDouble(folder, clock.now)
    account = double.book.put("account", {"id": "acct_1", "payouts_enabled": True})
    return double, account["id"]


async def test_key_is_honoured_after_a_restart_and_forgotten_after_a_day(
    tmp_path: Path, clock: FakeClock
) -> None:
    double, account = with_account(tmp_path, clock)
    async with double.serving():
        first = await ask(double, "/v1/transfers", destination=account, **ORDER)
    again = StripeDouble(tmp_path, clock.now, port=double.port)
    async with again.serving():
        clock.advance(24 * 3600 - 1)
        assert (await ask(again, "/v1/transfers", destination=account, **ORDER)).json() == first.json()
        other = await ask(again, "/v1/transfers", destination=account, **{**ORDER, "amount": "501"})
        assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
        clock.advance(1)
        second = await ask(again, "/v1/transfers", destination=account, **ORDER)
    assert second.json()["id"] != first.json()["id"]
    assert [each["amount"] for each in again.transfers] == [500, 500]


async def test_500_of_its_own_is_the_answer_to_that_key(tmp_path: Path, clock: FakeClock) -> None:
    double, account = with_account(tmp_path, clock)
    double.faults.append(ERROR_KEPT_AFTER)
    async with double.serving():
        for _ in range(3):
            assert (await ask(double, "/v1/transfers", destination=account, **ORDER)).status_code == 500
    assert len(double.transfers) == 1


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/transfers", {"destination": "acct_of_nobody"}),
        ("/v1/transfers", {"destination": "acct_1", "amount": "0"}),
        ("/v1/accounts", {"email": "a@example.org"}),
        ("/v1/balance", {}),
    ],
)
async def test_refusal_is_none_s_answer(
    tmp_path: Path, clock: FakeClock, path: str, form: dict[str, str]
) -> None:
    double, _ = with_account(tmp_path, clock)
    async with double.serving():
        refused = await ask(double, path, **{**ORDER, **form})
    assert 400 <= refused.status_code < 500
    assert refused.json()["error"]["message"]
    assert not double.transfers
    assert double.book.kept("k") is None
