"""Random calls by everybody about everybody's things, and all frames meanwhile: no word of another group, no address.

`CANARY_CALLS=20000` makes as many calls; `python -m tests.chaos canary` makes them of a server of its own.
"""

import os

from config.deps import Deps
from store.records import ADMIN, TRAINEE, TRAINER
from tests.chaos.canary import Canary
from tests.chaos.tenants import Caller, Secrets, World

# About 6 ms of a core each, client and server.
CALLS = int(os.environ.get("CANARY_CALLS", "1000"))


async def test_s1_nobody_is_shown_what_another_group_wrote(deps: Deps, base_url: str) -> None:
    callers = await World(deps.store, deps.tokens, deps.clock).everybody(groups=3, trainees=2)
    canary = Canary(base_url, callers, seed=20261121)
    findings = await canary.run(CALLS)
    assert not findings.leaks, findings.leaks[:5]
    # Enough came about for that to mean something.
    assert findings.calls >= CALLS
    assert findings.own > CALLS / 20
    assert findings.frames > 0
    assert len(findings.answered_well) > 40


def test_words_and_addresses_are_found_where_they_should_not_be() -> None:
    trainer, trainee, other = (
        Caller(1, "wone", TRAINER, address="wone.a"),
        Caller(1, "wone", TRAINEE, address="wone.b"),
        Caller(2, "wtwo", TRAINEE, address="wtwo.c"),
    )
    admin, nobody = Caller(3, "wthree", ADMIN, address="wthree.d"), Caller(-1, "stranger")
    look = Secrets([trainer, trainee, other, admin, nobody]).found
    own = b'{"email": "wone.b@example.org", "first_name": "wone"}'
    assert look(own, trainee) == look(own, trainer) == look(own, admin) == []
    assert look(own, other) == look(own, nobody) == ["wone", "wone.b"]
    assert look(b"wone.a", trainee) == ["wone.a"]
    assert look(b"wtwo and wone", other) == ["wone"]
