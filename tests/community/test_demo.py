"""The demo in a real database: refused where people are, and people can log in.

That it is whole after any interruption, and true to its plan, is tested by its script.
"""

import dataclasses
from typing import Any, cast

import pytest

from community.demo import PASSWORD, accounts, fill_if_empty, log_ins
from community.demo_plan import make_plan
from community.sessions import log_in
from config.deps import Deps
from tests.support.demo import Crash, CrashingHub


def ignore(_line: str) -> None:
    """Nobody reads along."""


async def test_fill_refuses_a_database_with_people(own_deps: Deps) -> None:
    await own_deps.store.users.add(
        email="a@example.org", password_hash="x", first_name="A", last_name="B", role="TRAINER",
        timezone="UTC", epoch="e1",
    )  # fmt: skip
    assert not await fill_if_empty(own_deps, say=ignore)
    assert await own_deps.store.database.table("posts").is_empty()


async def test_demo_people_can_log_in(own_deps: Deps) -> None:
    group = make_plan(own_deps.clock.now())[1]
    with pytest.raises(Crash):
        # The last of the second group joins after as many hashes.
        await fill_if_empty(dataclasses.replace(own_deps, realtime=cast("Any", CrashingHub(30))), say=ignore)
    pair = await log_in(own_deps, email=group.trainer.email, password=PASSWORD, origin="here")
    assert own_deps.tokens.read(pair.access).user_id == group.trainer.id


def test_log_ins_name_trainers_and_trainees_and_the_password() -> None:
    lines = "\n".join(log_ins())
    assert PASSWORD in lines
    for trainer, trainees in accounts().items():
        assert trainer in lines
        assert trainees[0] in lines
    assert all(address.endswith("@example.com") for address in accounts())
