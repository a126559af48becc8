"""Which passwords are refused, and hashing in the bounded worker."""

import asyncio
import threading

import pytest

from community import passwords
from community.errors import Busy
from community.passwords import Hashing


@pytest.mark.parametrize(
    "password", ["short", "123456789", "x" * 129, "password123", "Password123!", "qwertyuiop", "1234567890", "aaaaaaaaaaaa",
                 "abcabcabcabc", "workout2026", "12341234123412"]
)  # fmt: skip
def test_s10_password_is_refused_when_short_long_or_common(password: str) -> None:
    assert passwords.problems(password)


@pytest.mark.parametrize(
    "password", ["steep hills at dawn", "kX9!vQ2#mZ", "ordinary-cheese-lamp", "пароль-длинный-свой"]
)
def test_s10_password_is_accepted_when_long_and_its_own(password: str) -> None:
    assert passwords.problems(password, personal=("ann@example.org", "Ann", "Archer")) == []


def test_s10_password_is_refused_when_it_is_the_address() -> None:
    assert passwords.problems("ann.archer@example.org", personal=("ann.archer@example.org",))
    assert passwords.problems("ann.archer1234", personal=("ann.archer@example.org",))


async def test_hash_verifies_when_right_and_only_then() -> None:
    hashing = Hashing(memory_kib=16)
    encoded = await hashing.hash("steep hills at dawn")
    assert encoded.startswith("$argon2id$")
    assert await hashing.verify(encoded, "steep hills at dawn")
    assert not await hashing.verify(encoded, "steep hills at dusk")
    assert not await hashing.verify("not a hash", "steep hills at dawn")
    assert not await hashing.verify(None, "nobody has this password")
    hashing.close()


async def test_hashing_is_busy_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    hashing = Hashing(memory_kib=16)
    held = threading.Event()
    waiting = [
        asyncio.create_task(hashing._in_worker(held.wait))
        for _ in range(passwords.WORKERS + passwords.MAX_WAITING)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await hashing.hash("steep hills at dawn")
    held.set()
    await asyncio.gather(*waiting)
    assert await hashing.hash("steep hills at dawn")
    hashing.close()
