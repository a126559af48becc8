"""What a stranger can learn about who has an account: nothing from answers, and no more or less work is done.

The time it takes is measured by `python -m tests.chaos login`; how often one may ask is in `test_rate_limits`.
"""

from collections.abc import Iterator

import pytest

from config.deps import Deps
from tests.support.groups import Groups
from tests.support.hashing import Watched
from tests.support.mail import Mailbox

LOG_IN = "/api/auth/jwt/create/"
RESET = "/api/auth/users/reset_password/"
NOBODY = "nobody@example.org"


@pytest.fixture
def hashing() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


async def test_s9_log_in_checks_one_hash_whoever_is_asked_for(
    groups: Groups, deps: Deps, hashing: Watched
) -> None:
    person, left = await groups.trainee(), await groups.trainee()
    await deps.store.database.table("users").update({"_id": left.id}, {"$set": {"is_active": False}})
    answers = []
    for email in (person.email, left.email, NOBODY):
        hashing.verified = hashing.hashed = 0
        answer = await groups.api.post(LOG_IN, {"email": email, "password": "a guess of many"})
        answers.append((answer.status, answer.body))
        assert (hashing.verified, hashing.hashed) == (1, 0), email
    assert len(set(answers)) == 1
    assert answers[0][0] == 401


async def test_s9_reset_writes_one_link_whoever_is_asked_for(
    groups: Groups, deps: Deps, mailbox: Mailbox, hashing: Watched
) -> None:
    person = await groups.trainee()
    resets = deps.store.database.table("password_resets")
    hashing.verified = hashing.hashed = 0
    for email, user_id in ((person.email, person.id), (NOBODY, 0)):
        before = len(await resets.find({"user_id": user_id}))
        answer = await groups.api.post(RESET, {"email": email})
        assert (answer.status, answer.body) == (204, b"")
        assert len(await resets.find({"user_id": user_id})) == before + 1
    assert (hashing.verified, hashing.hashed) == (0, 0)
    assert (await mailbox.letter_to(person.email)).subject
    assert not [letter for letter in mailbox.letters if letter.to == NOBODY]
