"""The live feed through real sockets: admission, events, recovery, closing."""

import asyncio
import json

import pytest
from websockets.exceptions import InvalidStatus

from config.deps import Deps
from realtime.events import ReactionsChanged
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups
from tests.support.sockets import open_feed

FEED = "/api/community/feed/"


async def test_member_sees_what_happens_in_the_group_at_once(groups: Groups, base_url: str) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainee.token) as feed:
        hello = await feed.next()
        assert hello == {
            "type": "connected",
            "timestamp": hello["timestamp"],
            "room": f"community_feed_{trainer.id}",
            "position": hello["position"],
            "recovered": None,
            "heartbeat_seconds": 25,
        }
        post = await trainer.write("Live!")
        frame = await feed.next()
        assert frame == {
            "type": "new_post",
            "timestamp": frame["timestamp"],
            "seq": 1,
            "position": hello["position"].split(".")[0] + ".1",
            "post": post,
        }
        comment = await trainee.comment(post["id"])
        frame = await feed.next()
        assert (frame["type"], frame["seq"]) == ("new_comment", 2)
        assert (frame["post_id"], frame["comment"], frame["comment_count"]) == (post["id"], comment, 1)
        await trainee.react(post["id"], "heart")
        frame = await feed.next()
        assert (frame["type"], frame["post_id"]) == ("reaction_update", post["id"])
        assert (frame["reactions"], frame["version"]) == ({"fire": 0, "thumbs_up": 0, "heart": 1}, 1)
        assert "seq" not in frame
        await trainer.delete(f"{FEED}{post['id']}/comments/{comment['id']}/")
        frame = await feed.next()
        assert (frame["type"], frame["seq"], frame["comment_count"]) == ("comment_deleted", 3, 0)
        assert (frame["post_id"], frame["comment_id"]) == (post["id"], comment["id"])
        await trainer.delete(f"{FEED}{post['id']}/")
        frame = await feed.next()
        assert (frame["type"], frame["seq"], frame["post_id"]) == ("post_deleted", 4, post["id"])


async def test_member_gets_what_was_missed_once_and_in_order_when_coming_back(
    groups: Groups, base_url: str
) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainee.token) as feed:
        await feed.next()
        post = await trainer.write("Before")
        await feed.next()
        since = feed.position
    kept = await trainer.write("Missed")
    gone = await trainer.write("Missed and gone")
    await trainer.comment(post["id"], "Missed too")
    await trainer.react(post["id"], "fire")
    await trainer.delete(f"{FEED}{gone['id']}/")
    async with open_feed(base_url, trainee.token, since=since) as feed:
        hello = await feed.next()
        assert (hello["recovered"], hello["position"]) == (True, since)
        frames = [await feed.next() for _ in range(4)]
        assert [(frame["type"], frame.get("seq")) for frame in frames] == [
            ("new_post", 2),
            ("new_comment", 4),
            ("post_deleted", 5),
            ("reaction_update", None),
        ]
        assert frames[0]["post"]["id"] == kept["id"]
        assert frames[3]["reactions"]["fire"] == 1
        await trainer.write("Live again")
        assert (await feed.until("new_post"))["seq"] == 6


async def test_position_of_the_list_closes_the_gap_to_the_socket(groups: Groups, base_url: str) -> None:
    trainer, trainee = await groups.group(1)
    await trainer.write("Listed")
    position = (await trainee.get(FEED)).headers["X-Feed-Position"]
    await trainer.write("Between list and socket")
    async with open_feed(base_url, trainee.token, since=position) as feed:
        assert (await feed.next())["recovered"] is True
        assert (await feed.next())["post"]["content"] == "Between list and socket"


@pytest.mark.parametrize("since", ["nonsense", "abc.1", "", "0.0", "a.99999999999999999999"])
async def test_member_is_told_to_reload_when_the_position_is_unknown(
    groups: Groups, base_url: str, since: str
) -> None:
    trainer = await groups.trainer()
    await trainer.write()
    async with open_feed(base_url, trainer.token, since=since) as feed:
        hello = await feed.next()
        assert hello["recovered"] is False
        resync = await feed.next()
        assert (resync["type"], resync["position"]) == ("resync", hello["position"])


async def test_member_is_told_to_reload_when_a_newer_release_wrote_what_was_missed(
    groups: Groups, base_url: str, deps: Deps
) -> None:
    trainer = await groups.trainer()
    since = (await trainer.get(FEED)).headers["X-Feed-Position"]
    await trainer.write()
    missed = {"_id.community_id": trainer.id, "kind": "new_post"}
    result = await deps.store.database.raw["events"].update_one(missed, {"$set": {"kind": "new_shoutout"}})
    assert result.modified_count == 1
    async with open_feed(base_url, trainer.token, since=since) as feed:
        assert (await feed.next())["recovered"] is False
        assert (await feed.next())["type"] == "resync"


async def test_member_is_told_to_reload_when_more_than_500_facts_were_missed(
    groups: Groups, base_url: str, deps: Deps
) -> None:
    trainer = await groups.trainer()
    post = await trainer.write()
    since = (await trainer.get(FEED)).headers["X-Feed-Position"]
    add = deps.store.comments.add
    # In waves: more at once would wait longer for their turn than the store lets anybody.
    for first in range(0, 501, 50):
        await asyncio.gather(
            *(
                add(community_id=trainer.id, post_id=post["id"], author_id=trainer.id, content="Again")
                for _ in range(first, min(first + 50, 501))
            )
        )
    async with open_feed(base_url, trainer.token, since=since) as feed:
        assert (await feed.next())["recovered"] is False
        assert (await feed.next())["type"] == "resync"
    epoch, seq = since.split(".")
    async with open_feed(base_url, trainer.token, since=f"{epoch}.{int(seq) + 1}") as feed:
        assert (await feed.next())["recovered"] is True
        assert [(await feed.next())["seq"] for _ in range(500)] == list(range(int(seq) + 2, int(seq) + 502))


async def test_socket_is_closed_4001_when_the_token_is_not_good(groups: Groups, base_url: str) -> None:
    trainer = await groups.trainer()
    for token in (None, "", "nonsense", trainer.refresh, trainer.token[:-3]):
        async with open_feed(base_url, token) as feed:
            assert (await feed.closed())[0] == 4001
            assert feed.frames == []
    await trainer.post("/api/auth/logout/", {"refresh": trainer.refresh})
    async with open_feed(base_url, trainer.token) as feed:
        assert (await feed.closed())[0] == 4001


async def test_socket_is_closed_4003_when_there_is_no_group(groups: Groups, base_url: str) -> None:
    alone = await groups.trainee()
    async with open_feed(base_url, alone.token) as feed:
        assert (await feed.closed())[0] == 4003


async def test_token_may_come_by_header_or_protocol(groups: Groups, base_url: str) -> None:
    trainer = await groups.trainer()
    header = {"Authorization": f"Bearer {trainer.token}"}
    async with open_feed(base_url, None, additional_headers=header) as feed:
        assert (await feed.next())["type"] == "connected"
    offered = ["cohort.v1", f"bearer.{trainer.token}"]
    async with open_feed(base_url, None, subprotocols=offered) as feed:
        assert feed.socket.subprotocol == "cohort.v1"
        assert (await feed.next())["type"] == "connected"


async def test_s27_browser_is_refused_when_its_origin_is_not_allowed(groups: Groups, base_url: str) -> None:
    trainer = await groups.trainer()
    with pytest.raises(InvalidStatus) as refused:
        async with open_feed(base_url, trainer.token, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with open_feed(base_url, trainer.token, origin=base_url) as feed:
        assert (await feed.next())["type"] == "connected"


async def test_refusals_before_the_upgrade_have_the_contracts_shape(
    groups: Groups, http_client, base_url: str
) -> None:
    url = base_url + "/ws/community/feed/"
    evil = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "https://evil.example"}
    for method, headers, status in (("GET", {}, 400), ("POST", {}, 405), ("GET", evil, 403)):
        answer = await http_client.fetch(
            url, method=method, headers=headers, allow_nonstandard_methods=True, raise_error=False
        )
        assert answer.code == status
        assert set(json.loads(answer.body)) == {"detail", "code"}
        assert answer.headers["X-Request-ID"]
        assert ("Allow" in answer.headers) == (status == 405)


async def test_s6_socket_is_closed_when_the_token_ends(
    groups: Groups, base_url: str, clock: FakeClock
) -> None:
    trainer = await groups.trainer()
    async with open_feed(base_url, trainer.token) as feed:
        await feed.next()
        clock.advance(15 * 60 + 1)
        assert (await feed.closed())[0] == 4001


async def test_s6_sockets_close_when_membership_or_log_in_ends(groups: Groups, base_url: str) -> None:
    trainer, removed, changed, erased, logged_out = await groups.group(4)
    elsewhere = await groups.log_in(changed.email)
    new_password = {"current_password": PASSWORD, "new_password": "new hills at dusk"}
    ends = [
        (removed, lambda: trainer.delete(f"/api/trainer/trainees/{removed.id}/"), 4003),
        (elsewhere, lambda: changed.post("/api/auth/users/set_password/", new_password), 4001),
        (erased, lambda: erased.delete("/api/auth/users/me/", {"current_password": PASSWORD}), 4001),
        (logged_out, lambda: logged_out.post("/api/auth/logout/", {"refresh": logged_out.refresh}), 4001),
    ]
    async with open_feed(base_url, changed.token) as spared:
        await spared.next()
        for person, end, code in ends:
            async with open_feed(base_url, person.token) as feed:
                await feed.next()
                assert (await end()).status == 204
                post = await trainer.write("Not for them")
                assert (await feed.closed(1.0))[0] == code
                assert not feed.facts(), "heard something after the end"
                assert (await spared.until("new_post"))["post"]["id"] == post["id"]


async def test_sockets_of_the_group_close_when_the_trainer_leaves(groups: Groups, base_url: str) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainee.token) as feed:
        await feed.next()
        await trainer.delete("/api/auth/users/me/", {"current_password": PASSWORD})
        assert (await feed.closed(1.0))[0] == 4003


async def test_oldest_socket_is_closed_when_a_user_opens_a_sixth(groups: Groups, base_url: str) -> None:
    trainer = await groups.trainer()
    async with open_feed(base_url, trainer.token) as oldest:
        await oldest.next()
        opened = [open_feed(base_url, trainer.token) for _ in range(5)]
        feeds = [await each.__aenter__() for each in opened]
        assert (await oldest.closed())[0] == 4009
        for feed in feeds:
            assert (await feed.next())["type"] == "connected"
        for each in opened:
            await each.__aexit__(None, None, None)


async def test_s29_socket_is_closed_when_the_client_talks_too_much(groups: Groups, base_url: str) -> None:
    trainer = await groups.trainer()
    async with open_feed(base_url, trainer.token) as feed:
        await feed.next()
        for number in range(31):
            await feed.socket.send(json.dumps({"type": "subscribe", "room": "everything", "n": number}))
        assert (await feed.closed())[0] == 1008
    async with open_feed(base_url, trainer.token) as feed:
        await feed.next()
        await feed.socket.send("x" * 4097)
        assert (await feed.closed())[0] == 1009


async def test_nobody_hears_another_group(groups: Groups, base_url: str) -> None:
    trainer, trainee = await groups.group(1)
    other, _ = await groups.group(1)
    async with open_feed(base_url, other.token) as outside, open_feed(base_url, trainee.token) as inside:
        await outside.next()
        await inside.next()
        post = await trainer.write("Between us")
        await trainee.react(post["id"])
        await inside.until("reaction_update")
        mine = await other.write("Our own")
        assert (await outside.next())["post"]["id"] == mine["id"]


async def test_reactions_are_folded_when_they_come_fast(groups: Groups, base_url: str, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainer.write()
    async with open_feed(base_url, trainee.token) as feed:
        await feed.next()
        for version in range(1, 42):
            deps.realtime.publish(
                ReactionsChanged(
                    community_id=trainer.id,
                    post_id=post["id"],
                    reactions={"fire": version, "thumbs_up": 0, "heart": 0},
                    version=version,
                    at=deps.clock.now(),
                )
            )
        frames = [await feed.next(), await feed.next()]
        assert [(frame["version"], frame["reactions"]["fire"]) for frame in frames] == [(1, 1), (41, 41)]


async def test_s28_no_log_shows_a_token(
    groups: Groups, base_url: str, caplog: pytest.LogCaptureFixture, mailbox
) -> None:
    caplog.set_level("DEBUG")
    trainer = await groups.trainer()
    await groups.api.post("/api/auth/users/reset_password/", {"email": trainer.email})
    _, reset = mailbox.link(await mailbox.letter_to(trainer.email, subject="Reset"))
    async with open_feed(base_url, trainer.token) as feed:
        await feed.next()
    async with open_feed(base_url, trainer.token[:-2]) as feed:
        await feed.closed()
    await trainer.get("/api/auth/users/me/?token=" + trainer.token)
    await groups.api.post("/api/auth/jwt/refresh/", {"refresh": trainer.refresh})
    ours = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("websockets")
    )
    assert "/ws/community/feed/" in ours
    for secret in (trainer.token, trainer.refresh, reset, PASSWORD):
        assert secret not in ours


async def test_sockets_are_told_when_to_come_back_when_the_server_goes(
    groups: Groups, base_url: str, deps: Deps
) -> None:
    trainer = await groups.trainer()
    async with open_feed(base_url, trainer.token) as feed:
        await feed.next()
        stopping = asyncio.create_task(deps.realtime.stop())
        code, reason = await feed.closed()
        assert code == 1001
        assert 0 <= float(reason.removeprefix("retry_after=")) <= 10
        await stopping


async def test_new_socket_is_told_to_come_back_when_the_server_is_about_to_go(
    groups: Groups, base_url: str, deps: Deps
) -> None:
    trainer = await groups.trainer()
    async with open_feed(base_url, trainer.token) as before:
        await before.next()
        deps.lifecycle.draining = True
        async with open_feed(base_url, trainer.token) as feed:
            code, reason = await feed.closed()
            assert (code, feed.frames) == (1001, [])
            assert 0 <= float(reason.removeprefix("retry_after=")) <= 10
        post = await trainer.write()
        assert (await before.next())["post"] == post, "who was there stays until the end"
