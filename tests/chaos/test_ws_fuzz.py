"""Some thousands of nonsensical frames: the server says no, logs no error, keeps nothing, and goes on serving."""

import asyncio

from config.deps import Deps
from tests.chaos.ws_fuzz import Grammar, fuzz, is_well
from tests.realtime.fakes import until
from tests.support.groups import Groups
from tests.support.sockets import open_feed


async def test_server_takes_no_harm_when_sockets_send_nonsense(
    groups: Groups, base_url: str, deps: Deps
) -> None:
    people = await groups.group(2)
    tasks = len(asyncio.all_tasks())
    async with open_feed(base_url, people[0].token) as healthy:
        await healthy.next()
        findings = await fuzz(base_url, [person.token for person in people[1:]], frames=3_000, seed=20261121)
        assert not findings.wrong, findings.wrong[:5]
        assert findings.frames >= 3_000
        # All ways of being refused were met.
        assert {1002, 1007, 1008, 1009} <= set(findings.codes)
        post = await people[1].write("After all that")
        assert (await healthy.until("new_post"))["post"]["id"] == post["id"]
    for person in people:
        assert await is_well(base_url, person.token)
    await until(lambda: deps.realtime.connection_count == 0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


def test_conversations_repeat_when_the_seed_does() -> None:
    first, again, other = (Grammar(seed) for seed in ((1, 2, 3), (1, 2, 3), (1, 2, 4)))
    said = first.conversation()
    assert said == again.conversation()
    assert first.pieces(b"".join(said)) == again.pieces(b"".join(said))
    assert said != other.conversation()
